//! What the options of a component are by the time that it sees them: no empty strings, nothing unknown, all that is required.

use std::collections::BTreeMap;

use bakelite_hcl::value::Value;
use serde_json::json;

use crate::Case;

/// A template with a provisioner `typed` that has these options.
fn typed(options: &str) -> Case {
    Case::new(&format!(
        "source \"null\" \"a\" {{\n  communicator = \"none\"\n}}\nbuild {{\n  sources = [\"source.null.a\"]\n  \
         provisioner \"typed\" {{\n{options}\n  }}\n}}\n"
    ))
}

/// What is reported, without what all cases have in common.
fn reported(options: &str) -> Vec<String> {
    let shown = typed(options).plan().shown;
    let headlines = shown
        .lines()
        .filter(|line| line.starts_with("error") || line.starts_with("warning"));
    let without_place = |line: &str| {
        let (severity, rest) = line.split_once(' ').unwrap();
        format!("{severity}: {}", rest.split_once(": ").unwrap().1)
    };
    headlines.map(without_place).collect()
}

#[test]
fn an_empty_string_is_absent_in_structures_only() {
    let planned = typed(
        r#"
    target = "t"
    mode   = "fast"
    note   = ""
    size   = 3
    words  = ["", "w"]
    tags   = { a = "" }
    part {
      name  = "p"
      label = ""
    }
"#,
    )
    .plan();
    assert!(
        planned.shown.contains("`part[0].name`: goes with `label`"),
        "{}",
        planned.shown
    );
    let planned =
        typed("target = \"t\"\nmode = \"fast\"\nnote = \"\"\nsize = 3\nwords = [\"\", \"w\"]\ntags = { a = \"\" }")
            .plan();
    assert_eq!(planned.shown, "");
    let options = planned.plan.builds[0].provisioners[0]
        .options
        .decode(&BTreeMap::new())
        .unwrap();
    assert_eq!(
        serde_json::Value::Object(options.options),
        json!({ "target": "t", "mode": "fast", "size": 3, "words": ["", "w"], "tags": { "a": "" } })
    );
}

#[test]
fn a_required_option_is_missed_once() {
    for given in ["size = 1", "size = 1\ntarget = \"\"", "size = 1\ntarget = null"] {
        let shown = typed(&format!(
            "{given}\nmode = \"fast\"\nwords = [\"w\"]\npart {{ label = \"l\" }}"
        ))
        .plan()
        .shown;
        assert_eq!(shown.matches("error at").count(), 2, "{shown}");
        assert!(
            shown.contains("`target` must be given") && shown.contains("Where the result goes."),
            "{shown}"
        );
        assert!(shown.contains("`part[0].name` must be given"), "{shown}");
    }
    // What is given and wrong is not missing as well.
    let shown = typed("size = 1\ntarget = [\"t\"]\nmode = \"fast\"\nwords = [\"w\"]")
        .plan()
        .shown;
    assert!(!shown.contains("must be given"), "{shown}");
}

#[test]
fn an_override_gives_what_is_required() {
    let with_override = |target: &str| {
        typed(&format!(
            "mode = \"fast\"\nsize = 1\nwords = [\"w\"]\ntarget = build.ID\noverride = {{ a = {{ target = {target} }} }}"
        ))
        .plan()
    };
    assert_eq!(with_override("\"t\"").shown, "");
    let missing = with_override("\"\"").shown;
    assert!(missing.contains("`target` must be given"), "{missing}");
    // What is overridden is not unknown any more.
    let given = "target = \"t\"\nmode = \"fast\"\nwords = [\"w\"]\nnote = build.ID";
    assert_eq!(reported(given), [""; 0]);
    let overridden = format!("{given}\noverride = {{ a = {{ note = \"\" }} }}");
    assert_eq!(reported(&overridden), ["error: `note` or `size` must be given"]);
}

#[test]
fn a_closed_set_takes_what_is_in_it_and_supported() {
    let shown = typed("target = \"t\"\nmode = \"very_slow\"\nsize = 1\nwords = [\"w\"]")
        .plan()
        .shown;
    for part in [
        "`mode` cannot be `very_slow`",
        "It must be one of `fast`, `very-slow`.",
        "did you mean `very-slow`?",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    for (given, meant) in [("\"FAST\"", "fast"), ("0", "fast"), ("\"Very-Slow\"", "very-slow")] {
        let planned = typed(&format!("target = \"t\"\nmode = {given}\nsize = 1\nwords = [\"w\"]")).plan();
        assert_eq!(planned.shown, "");
        let step = &planned.plan.builds[0].provisioners[0].options;
        assert_eq!(step.decode(&BTreeMap::new()).unwrap().options["mode"], meant);
    }
    let shown = typed("target = \"t\"\nmode = \"nightly\"\nsize = 1\nwords = [\"w\"]")
        .plan()
        .shown;
    for part in [
        "`mode = \"nightly\"` is not supported yet",
        "Nights are not supported.",
        "t.pkr.hcl:8",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_string_with_a_pattern_matches_it() {
    let shown = |pin: &str| {
        let given = format!("target = \"t\"\nmode = \"fast\"\nsize = 1\nwords = [\"w\"]\npin = \"{pin}\"");
        typed(&given).plan().shown
    };
    for right in ["any", "pin:12", ""] {
        assert_eq!(shown(right), "", "{right}");
    }
    for part in [
        "`pin` cannot be `pin:x`",
        "It must be `any` or `pin:NUMBER`.",
        "t.pkr.hcl:11",
    ] {
        assert!(shown("pin:x").contains(part), "{}", shown("pin:x"));
    }
}

#[test]
fn complaints_that_depend_on_what_is_not_known_are_dropped() {
    let all = "target = \"t\"\nmode = \"very-slow\"\nwords = []";
    assert_eq!(
        reported(all),
        [
            "error: `note` or `size` must be given",
            "error: `mode`: needs `size = 1` or more",
            "warning: `words`: there are no words",
        ]
    );
    // Of an option itself, of one that is named, of a part.
    let unknown = "target = build.ID\nmode = \"very-slow\"\nsize = build.Port\nwords = [build.ID]\npart {\nname = \"n\"\nlabel = build.ID\n}";
    assert_eq!(reported(unknown), [""; 0]);
    // What does not depend on it stays.
    let other = "target = build.ID\nmode = \"very-slow\"\nnote = \"n\"\nwords = [\"w\"]\npart {\nname = build.ID\n}";
    assert_eq!(reported(other), ["error: `mode`: needs `size = 1` or more"]);
}

#[test]
fn a_placeholder_is_an_ordinary_string() {
    let planned = typed("target = \"<unknown>\"\nmode = \"fast\"\nsize = 1\nwords = [\"a ${build.ID}\", \"w\"]").plan();
    assert_eq!(planned.shown, "");
    let step = &planned.plan.builds[0].provisioners[0].options;
    let data = BTreeMap::from([("ID".to_owned(), Value::string("i-1"))]);
    let options = step.decode(&data).unwrap();
    assert_eq!(options.options["target"], "<unknown>");
    assert_eq!(options.options["words"], json!(["a i-1", "w"]));
    assert!(options.unknown.is_empty());
}

#[test]
fn what_is_not_supported_may_be_declined() {
    let with = |copies: &str| {
        reported(&format!(
            "target = \"t\"\nmode = \"fast\"\nsize = 1\nwords = [\"w\"]\ncopies = {copies}"
        ))
    };
    for harmless in ["false", "[]", "null", "build.ID"] {
        assert_eq!(with(harmless), [""; 0], "{harmless}");
    }
    assert_eq!(
        with("true"),
        ["error: `copies` of provisioner `typed` is not supported yet"]
    );
}

#[test]
fn an_empty_value_asks_for_nothing_also_of_what_is_not_supported() {
    let base = "target = \"t\"\nmode = \"fast\"\nsize = 1\nwords = [\"w\"]\n";
    for empty in ["\"\"", "[]", "0", "false", "{}", "null", "{ a = [], b = 0 }"] {
        let shown = reported(&format!("{base}copies = {empty}"));
        assert_eq!(shown, Vec::<String>::new(), "{empty}");
    }
    for asks in ["\"x\"", "[0]", "1", "true", "{ a = 1 }"] {
        let shown = reported(&format!("{base}copies = {asks}"));
        assert_eq!(
            shown,
            ["error: `copies` of provisioner `typed` is not supported yet"],
            "{asks}"
        );
    }
    let planned = typed("target = \"t\"\nmode = \"fast\"\nsize = 0\nwords = []\ntags = {}\nnote = \"\"").plan();
    assert!(
        planned.shown.contains("`note` or `size` must be given"),
        "{}",
        planned.shown
    );
    let given = "target = \"t\"\nmode = \"fast\"\nsize = 0\nwords = []\ntags = {}\nnote = \"n\"";
    let planned = typed(given).plan();
    let options = planned.plan.builds[0].provisioners[0]
        .options
        .decode(&BTreeMap::new())
        .unwrap();
    assert_eq!(
        serde_json::Value::Object(options.options),
        json!({ "target": "t", "mode": "fast", "note": "n" })
    );
}
