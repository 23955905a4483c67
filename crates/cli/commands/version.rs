//! `version`: ours, and the version of Packer whose templates and scripts work here. Called as `packer`, what scripts parse comes first.

use crate::exit::Status;
use crate::print::print_exactly;
use crate::process::Process;
use crate::report;

pub(super) fn run(process: &Process) -> Status {
    let ours = env!("CARGO_PKG_VERSION");
    let packers = bakelite_template::PACKER_VERSION;
    let (version, text) = if process.called() == "packer" {
        (packers, format!("Packer v{packers} (compatible: bakelite v{ours})"))
    } else {
        (ours, format!("bakelite v{ours} (templates as of Packer v{packers})"))
    };
    if process.output.machine_readable {
        for (kind, value) in [("version", version), ("version-prelease", ""), ("version-commit", "")] {
            print_exactly(&report::machine_record(kind, [value]));
        }
    }
    process.output.say(&text);
    Status::Ok
}
