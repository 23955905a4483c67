//! The scripts that pack and unpack archives at the other side, for any POSIX shell and any tar.

use std::path::PathBuf;

use super::quote;

/// The script that unpacks an archive. It says where, and what is there when it is asked: `d` and a name asks for a folder, `L` and a
/// name for a link.
pub(crate) fn unpacking(destination: &str, name: Option<&str>, far: bool) -> String {
    let own = name.map_or_else(String::new, |name| {
        format!("[ -d \"$d\" ] && d=${{d%/}}/{}\n", quote::text(name))
    });
    let script = format!(
        r#"command -v tar >/dev/null 2>&1 || exit 127
d={destination}
no() {{ echo "bakelite: $d: ${{1##*: }}" >&2; exit 1; }}
{own}if [ -d "$d" ]; then w=there; else e=$(mkdir "$d" 2>&1) || no "$e"; w=new; fi
cd "$d" || exit 1
{gzip}printf 'bakelite-%s\n' "ready $w in $d"
n=0
while IFS= read -r f; do
case $f in
'') break;;
.) echo .; n=0; continue;;
d*) [ -d "${{f#?}}" ] && echo $n;;
L*) [ -L "${{f#?}}" ] && echo $n;;
esac
n=$((n+1))
done
case $w in *gzip) gzip -dc | tar -xpof -;; *) exec tar -xpof -;; esac"#,
        destination = quote::word(destination),
        gzip = if far {
            "command -v gzip >/dev/null 2>&1 && w=\"$w gzip\"\n"
        } else {
            ""
        },
    );
    format!("sh -c {}", quote::text(&script))
}

/// The script that packs a folder or what a pattern matches; with `outside`, only these below it, with what they lead to.
pub(crate) fn packing(source: &str, outside: &[PathBuf], far: bool) -> String {
    let trimmed = match source.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let (folder, last) = match trimmed.rsplit_once('/') {
        Some(("", last)) => ("/", last),
        Some((folder, last)) => (folder, last),
        None if trimmed.starts_with('~') => (trimmed, "."),
        None => (".", trimmed),
    };
    let (folder, last) = if matches!(last, "" | "." | "..") {
        (trimmed, ".")
    } else {
        (folder, last)
    };
    let names = if outside.is_empty() {
        format!("./{}", quote::pattern(last))
    } else {
        let names = outside
            .iter()
            .map(|path| format!("./{}", quote::text(&path.to_string_lossy())));
        names.collect::<Vec<_>>().join(" ")
    };
    let follow = if outside.is_empty() { "" } else { "h" };
    let filter = filter(far);
    let script = format!(
        r#"command -v tar >/dev/null 2>&1 || exit 127
no() {{ echo "bakelite: $1: No such file or directory" >&2; exit 1; }}
for d in {folder}; do
[ -d "$d" ] || no "$d"
done
{filter}"#,
        folder = quote::pattern(folder),
    );
    let each = format!(
        "for d in {folder}; do (cd \"$d\" && set -- {names} && {{ [ -e \"$1\" ] || [ -L \"$1\" ] || exit 0; }} && exec tar -c{follow}f - \"$@\") || exit; done",
        folder = quote::pattern(folder),
    );
    let first = format!(
        "m=; for d in {folder}; do (cd \"$d\" && set -- {names} && {{ [ -e \"$1\" ] || [ -L \"$1\" ]; }}) && m=1; done; [ \"$m\" ] || no {shown}",
        folder = quote::pattern(folder),
        shown = quote::text(trimmed),
    );
    let ready = "printf 'bakelite-%s\\n' \"ready $w\"";
    let run = format!("case $w in gzip) {{ {each}; }} | gzip -1c;; *) {each};; esac");
    format!("sh -c {}", quote::text(&format!("{script}\n{first}\n{ready}\n{run}")))
}

fn filter(far: bool) -> &'static str {
    if far {
        "w=plain; command -v gzip >/dev/null 2>&1 && w=gzip"
    } else {
        "w=plain"
    }
}
