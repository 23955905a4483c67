//! Texts and what they render as.

use proptest::prelude::*;

use super::*;

fn rendering() -> Rendering {
    let fields = serde_json::json!({
        "Vars": "A='1' ",
        "Path": "/tmp/s.sh",
        "List": ["x", "y"],
        "Map": { "b": 2, "a": 1 },
        "Empty": "",
    });
    let started = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let mut rendering = Rendering::new("web", "amazon-ebs", PathBuf::from("/work"), started);
    rendering.fields = fields.as_object().cloned().unwrap();
    rendering.set_build_data(BTreeMap::from([("ID".to_owned(), "i-1".to_owned())]));
    rendering
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(render(text, &rendering()).as_deref(), Ok(expected), "{text}");
}

#[test]
fn actions_and_functions() {
    check("plain", "plain");
    check("{{ .Vars }}sudo -E bash '{{.Path}}'", "A='1' sudo -E bash '/tmp/s.sh'");
    check(
        "{{ build_name }}-{{build_type}} {{ timestamp }}",
        "web-amazon-ebs 1700000000",
    );
    check("{{ build `ID` }} {{ packer_version }} {{ pwd }}", "i-1 1.16.0 /work");
    check("{{ \"a-b\" | upper | replace \"-\" \"_\" 1 }}", "A_B");
    check("{{ replace_all \"-\" \"\" (isotime \"2006-01-02\") }}", "20231114");
    check("{{ split \"a,b\" \",\" 1 }}", "b");
    check("{{ \"{{\" }} {{ `{{ x }}` }}", "{{ {{ x }}");
    check("{{ strftime \"%Y-%m\" }}", "2023-11");
    check("{{ isotime }}", "2023-11-14T22:13:20Z");
}

#[test]
fn trimming_and_comments() {
    check("a  {{- 1 -}}  b", "a1b");
    check("a {{/* note */}} b", "a  b");
    check("a {{- /* note */ -}} b", "ab");
    check("{{1}}\n{{- 2}}", "12");
    check("{{ -3 }}", "-3");
}

#[test]
fn blocks() {
    check("{{ if eq build_type \"amazon-ebs\" }}yes{{ else }}no{{ end }}", "yes");
    check("{{ if .Empty }}a{{ else if .Vars }}b{{ else }}c{{ end }}", "b");
    check("{{ range .List }}[{{ . }}]{{ end }}", "[x][y]");
    check("{{ range $i, $v := .List }}{{ $i }}={{ $v }};{{ end }}", "0=x;1=y;");
    check("{{ range $k, $v := .Map }}{{ $k }}{{ $v }}{{ end }}", "a1b2");
    check(
        "{{ range .List }}{{ break }}{{ end }}-{{ range (slice .List 0 0) }}{{ else }}none{{ end }}",
        "-none",
    );
    check(
        "{{ with .Path }}{{ . }}{{ end }}{{ with .Empty }}x{{ else }}none{{ end }}",
        "/tmp/s.shnone",
    );
    check(
        "{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .Path }}",
        "</tmp/s.sh>",
    );
    check("{{ block \"b\" 5 }}{{ . }}{{ end }}", "5");
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2");
}

#[test]
fn builtins() {
    check(
        "{{ printf \"%05.1f|%-4s|%q|%x|%d%%\" 3.14159 \"ab\" \"q\\\"\" \"hi\" 7 }}",
        "003.1|ab  |\"q\\\"\"|6869|7%",
    );
    check(
        "{{ printf \"%d\" \"a\" }}{{ printf \"%s\" }}",
        "%!d(string=a)%!s(MISSING)",
    );
    check(
        "{{ print 1 2 \"a\" 3 }}|{{ len \"abc\" }}|{{ index .List 1 }}|{{ index .Map \"a\" }}",
        "1 2a3|3|y|1",
    );
    check(
        "{{ slice \"abcdef\" 1 3 }}|{{ html \"<a>\" }}|{{ urlquery \"a b&c\" }}|{{ js \"'x'\" }}",
        "bc|&lt;a&gt;|a+b%26c|\\'x\\'",
    );
    check(
        "{{ and 1 0 2 }}{{ or 0 \"x\" }}{{ not true }}{{ lt 1 2 }}{{ ge \"b\" \"a\" }}",
        "0xfalsetruetrue",
    );
    check("{{ or .Vars (index .List 99) }}", "A='1' ");
}

#[test]
fn errors_say_where() {
    let error = |text: &str| render(text, &rendering()).unwrap_err().to_string();
    let texts = [
        "x {{ nope }}",
        "{{ if }}",
        "{{ if true }}",
        "{{ end }}",
        "{{ \"a }}",
        "{{ .Nope }}",
        "{{ build `X` }}",
        "{{ user `x` }}",
        "{{ env `x` }}",
        "{{ template_dir }}",
        "{{ template \"x\" }}",
        "{{ eq 1 \"a\" }}",
        "{{",
        "{{ clean_resource_name \"a\" }}",
        "{{ $x }}",
        "{{ split \"a\" \",\" 5 }}",
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
    ];
    let shown: Vec<String> = texts
        .iter()
        .map(|text| format!("{text}\n    {}", error(text)))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn what_is_rendered_later_has_what_only_a_legacy_template_knows() {
    let mut rendering = rendering();
    rendering.legacy = Some(Arc::new(LegacyNames {
        user: BTreeMap::from([("pw".to_owned(), "s3cret".to_owned())]),
        directory: PathBuf::from("/templates"),
    }));
    assert_eq!(
        render_early(
            "{{ .Vars }} {{user `pw`}} {{ template_dir }} {{ build_name }}",
            &rendering
        ),
        "{{ .Vars }} s3cret /templates {{ build_name }}"
    );
}

#[test]
fn without_data_a_field_has_no_value() {
    let rendering = Rendering {
        fields: serde_json::Map::new(),
        ..rendering()
    };
    assert_eq!(render("{{ .Foo }}", &rendering).as_deref(), Ok("<no value>"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\{\\{|\\}\\}|-|if|range|end|define|\"a\"|`|\\$x|:=|\\||\\(|\\)|\\.|\\.Map|printf|%[a-z]|[0-9]|'| |[a-z]|\\PC){0,40}") {
        let _ = render(&text, &rendering());
    }
}
