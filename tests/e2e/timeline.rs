//! Where the time goes: `-timing`, `-trace`, and the page of `-report` as a browser shows it.

use std::path::Path;
use std::process::Command;

use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::test_context;
use serde_json::Value as Json;

/// So many null builds, the last of which fails.
fn template(context: &TestContext, builds: usize) {
    let sources: Vec<String> = (1..=builds)
        .map(|number| format!("source \"null\" \"svc-{number:03}\" {{\n  communicator = \"none\"\n}}\n"))
        .collect();
    let names: Vec<String> = (1..=builds)
        .map(|number| format!("\"source.null.svc-{number:03}\""))
        .collect();
    context.template(&format!(
        "{}build {{\n  sources = [{}]\n  provisioner \"shell-local\" {{\n    only   = [\"null.svc-{builds:03}\"]\n    inline = [\"exit \
         3\"]\n  }}\n}}\n",
        sources.concat(),
        names.join(", ")
    ));
}

#[test]
fn the_steps_of_a_run_are_printed_and_traced() {
    let context = test_context!();
    template(&context, 2);
    let output = context
        .run(["build", "-timing", "-trace=trace.json", "t.pkr.hcl"])
        .fails_with(1);
    let (timing, closing) = output
        .split_once("==> Timing:")
        .unwrap()
        .1
        .split_once("==> Wait completed")
        .unwrap();
    assert!(
        timing.contains("null.svc-001: ") && timing.contains("length  step"),
        "{timing}"
    );
    assert!(
        timing.contains("provision (failed)") && timing.contains("provisioner shell-local (1 of 1) "),
        "{timing}"
    );
    assert!(
        closing.contains("--> null.svc-002: "),
        "failures come after it: {closing}"
    );
    let trace: Json = serde_json::from_str(&context.read("trace.json")).unwrap();
    let failed = trace["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["args"]["ok"] == false);
    assert_eq!(failed.unwrap()["name"], "provision");
    let records = context
        .run(["build", "-machine-readable", "-timing", "t.pkr.hcl"])
        .fails_with(1);
    assert!(
        records
            .lines()
            .any(|line| line.contains(",null.svc-002,step,provision,")),
        "{records}"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_before_the_bake() {
    let context = test_context!();
    template(&context, 1);
    for flag in ["-trace", "-report", "-log-events"] {
        let said = context
            .run(["build", &format!("{flag}=missing/file"), "t.pkr.hcl"])
            .fails_with(1);
        assert!(said.contains("missing/file") && !said.contains("Build 'null"), "{said}");
    }
}

/// What a script in the page finds out, in a window of this width, with this preference and this part of the address after `#`.
fn in_browser(page: &Path, width: u32, is_dark: bool, hash: &str) -> Json {
    // The page allows the scripts that are in it: this one is put there.
    const PROBE: &str = "<script>addEventListener('load', () => { const rows = [...document.querySelectorAll('.bake')]; \
        const shown = rows.filter((row) => !row.hidden); const bar = document.querySelector('.bake i').getBoundingClientRect(); \
        document.title = JSON.stringify({ rows: rows.length, shown: shown.length, first: rows[0].className, \
        height: Math.max(...shown.map((row) => row.getBoundingClientRect().height)), bar: [bar.width, bar.height], \
        back: getComputedStyle(document.body).backgroundColor, text: getComputedStyle(document.body).color, \
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth, \
        error: rows[0].querySelector('.error').textContent, loaded: performance.getEntriesByType('resource').length }); });</script>";
    let probed = page.with_file_name("probed.html");
    let text = std::fs::read_to_string(page).unwrap();
    std::fs::write(&probed, text.replace("</body>", &format!("{PROBE}</body>"))).unwrap();
    let profile = page.with_file_name(format!("profile-{width}-{is_dark}-{}", hash.len()));
    let scheme = u8::from(!is_dark);
    let mut browser = Command::new("chromium-headless-shell");
    // The sandbox does not run for root, and the page is ours.
    browser.args([
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--dump-dom",
        "--timeout=30000",
    ]);
    browser.arg(format!("--user-data-dir={}", profile.display()));
    browser.arg(format!("--window-size={width},800"));
    browser.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    browser.arg(format!("file://{}#{hash}", probed.display()));
    let ran = Ran::of(&mut browser);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let title = ran
        .stdout
        .split_once("<title>")
        .unwrap()
        .1
        .split_once("</title>")
        .unwrap()
        .0;
    serde_json::from_str(title).unwrap_or_else(|error| panic!("{error}: {title}\n{}", ran.stderr))
}

#[test]
fn the_page_of_three_hundred_builds_is_readable_in_a_browser() {
    let context = test_context!();
    template(&context, 300);
    let said = context.run(["build", "-report=report.html", "t.pkr.hcl"]).fails_with(1);
    assert!(said.contains("--> null.svc-300: "), "{said}");
    let page = context.work().join("report.html");
    let wide = in_browser(&page, 1280, false, "");
    assert_eq!(
        (&wide["rows"], &wide["shown"], &wide["loaded"]),
        (&300.into(), &300.into(), &0.into()),
        "{wide}"
    );
    assert_eq!(wide["first"], "bake failed", "failures come first: {wide}");
    assert!(wide["error"].as_str().unwrap().contains("exit status: 3"), "{wide}");
    assert!(wide["height"].as_f64().unwrap() <= 32.0, "rows are closed: {wide}");
    assert!(
        wide["bar"][0].as_f64().unwrap() >= 1.0 && wide["bar"][1].as_f64().unwrap() >= 8.0,
        "{wide}"
    );
    let narrow = in_browser(&page, 480, true, "svc-30");
    assert_eq!(narrow["shown"], 1, "the filter: {narrow}");
    for seen in [&wide, &narrow] {
        assert_eq!(seen["overflow"], 0, "nothing is wider than the window: {seen}");
    }
    assert_eq!(
        (&wide["back"], &narrow["text"]),
        (&"rgb(255, 255, 255)".into(), &"rgb(228, 230, 234)".into())
    );
    assert_eq!(narrow["back"], "rgb(22, 24, 29)", "dark where that is preferred");
}
