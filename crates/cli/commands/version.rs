//! `version`: ours, and the version of the template language that we speak.

use super::{print, print_exactly};
use crate::exit::Status;
use crate::report;

pub(super) fn run(machine_readable: bool) -> Status {
    let ours = env!("CARGO_PKG_VERSION");
    let text = format!(
        "bakelite v{ours} (templates as of Packer v{})",
        bakelite_template::PACKER_VERSION
    );
    if machine_readable {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        print(&format!(
            "{now},,version,{ours}\n{now},,version-prelease,\n{now},,version-commit,\n"
        ));
        print_exactly(&report::machine_line(&text));
    } else {
        print(&format!("{text}\n"));
    }
    Status::Ok
}
