//! The book does what it says: templates in its pages are run, and each component has an example that is.
//!
//! What a page's fence says after `hcl` decides about the block: `validate` and `build` run it as a whole template, with the arguments
//! that follow; `fails` before them expects an error; `file=NAME` puts the block beside the templates that come after it. A block
//! ` ```text output ` below a run holds lines that the run prints. Every other block of HCL is a fragment, which has to be readable.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use bakelite_test_support::context::TestContext;
use bakelite_test_support::{test_context, tools};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|one| one == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A fenced block of a page.
struct Block {
    line: usize,
    fence: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(fence), None) => {
                open = Some(Block {
                    line: index + 1,
                    fence: fence.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    found
}

#[test]
fn templates_in_the_book_do_what_it_says() {
    for page in files(&root().join("docs"), "md") {
        // Its examples are expressions, which crates/hcl runs.
        if page.ends_with("reference/functions.md") {
            continue;
        }
        let mut beside: Vec<(String, String)> = Vec::new();
        let mut printed = String::new();
        for block in blocks(&std::fs::read_to_string(&page).unwrap()) {
            let at = format!("{}:{}", page.strip_prefix(root()).unwrap().display(), block.line);
            let mut words: Vec<&str> = block.fence.split_whitespace().collect();
            if words == ["text", "output"] {
                for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
                    assert!(printed.contains(line.trim()), "{at}: `{line}` is not in\n{printed}");
                }
            }
            if words.first() != Some(&"hcl") {
                continue;
            }
            let fails = words.get(1) == Some(&"fails");
            if fails {
                words.remove(1);
            }
            match words.get(1) {
                Some(&"build" | &"validate") => printed = run(&at, &words[1..], &block.text, &beside, fails),
                Some(file) => beside.push((file.trim_start_matches("file=").to_owned(), block.text)),
                None => {
                    let context = test_context!();
                    context.template(&block.text);
                    let read = context.run(["fmt", "-check", "-diff", "t.pkr.hcl"]);
                    assert_eq!(read.code, Some(0), "{at}: {}{}", read.stdout, read.stderr);
                }
            }
        }
    }
}

/// Runs a block as a template; answers what was printed.
fn run(at: &str, words: &[&str], template: &str, beside: &[(String, String)], fails: bool) -> String {
    let context = test_context!();
    context.template(template);
    for (name, text) in beside {
        context.file(name, text);
    }
    let mut arguments = vec![words[0]];
    if words[0] == "build" {
        arguments.push("-local");
    }
    arguments.extend(&words[1..]);
    arguments.push(".");
    let ran = context.run(arguments);
    let expected = Some(i32::from(fails));
    assert_eq!(ran.code, expected, "{at}: {}{}", ran.stdout, ran.stderr);
    ran.stdout + &ran.stderr
}

/// Components whose examples the local cloud cannot bake, and why.
const NOT_BAKED: &[(&str, &str)] = &[
    (
        "builder-amazon-ebssurrogate",
        "volumes besides the root are no block devices there",
    ),
    (
        "builder-amazon-ebsvolume",
        "volumes besides the root are no block devices there",
    ),
    (
        "provisioner-ansible-local",
        "an instance has no network to install Ansible from",
    ),
    ("data-source-amazon-parameterstore", "the parameter is one of AWS's own"),
    ("data-source-amazon-secretsmanager", "nobody has put the secret there"),
    ("provisioner-powershell", "there is no Windows"),
    ("provisioner-windows-restart", "there is no Windows"),
    ("provisioner-windows-shell", "there is no Windows"),
];

fn component_examples() -> Vec<PathBuf> {
    files(&root().join("docs/examples/components"), "hcl")
}

fn name_of(example: &Path) -> String {
    let file = example.file_name().unwrap().to_string_lossy();
    file.strip_suffix(".pkr.hcl").unwrap().to_owned()
}

/// A place with Ansible, which one of the examples asks for its version.
fn with_tools() -> TestContext {
    let tools = tools::directory().join("bin").display().to_string();
    test_context!().with("PATH", format!("{tools}:/usr/sbin:/usr/bin:/sbin:/bin"))
}

#[test]
fn examples_of_components_are_valid_and_formatted() {
    for example in component_examples() {
        let context = with_tools();
        let example = example.to_str().unwrap();
        let _ = context.run(["fmt", "-check", example]).succeeds();
        let valid = context.run(["validate", example]);
        assert_eq!(valid.code, Some(0), "{example}: {}{}", valid.stdout, valid.stderr);
    }
}

/// The URL of a server that answers every request with a release, until the tests end.
fn release_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/app.json", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut connection in listener.incoming().filter_map(Result::ok) {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let body = "{\"version\":\"1.2.3\"}";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}",
                body.len()
            );
            let _ = write!(connection, "{head}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    url
}

#[test]
fn examples_of_components_bake() {
    let releases = format!("releases={}", release_server());
    for example in component_examples() {
        let name = name_of(&example);
        if NOT_BAKED.iter().any(|(component, _)| *component == name) {
            continue;
        }
        let mut arguments = vec!["build", "-local"];
        if name == "data-source-http" {
            arguments.extend(["-var", &releases]);
        }
        arguments.push(example.to_str().unwrap());
        let baked = with_tools().run(arguments);
        assert_eq!(baked.code, Some(0), "{name}: {}{}", baked.stdout, baked.stderr);
    }
}
