//! The page of all functions is made from their table and says what they do. `BAKELITE_UPDATE=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn the_page_of_functions_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/functions.md");
    let page = bakelite_template::functions::reference();
    #[allow(clippy::disallowed_methods, reason = "the switch of a test, not of the program")]
    if std::env::var_os("BAKELITE_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{} is stale: run this test with BAKELITE_UPDATE=1",
        path.display()
    );
}
