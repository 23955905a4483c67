//! The `shell-local` provisioner: scripts on this machine, in the middle of a bake.

use async_trait::async_trait;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_scripts::local_shell::{LocalShell, LocalShellOptions};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "shell-local",
    "Runs scripts on this machine, not on the instance.",
    Schema::of::<LocalShellOptions>,
    Make::Provisioner(make),
);

struct ShellLocal {
    options: LocalShellOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options: LocalShellOptions = read_options(decoded, complaints)?;
    options.check(complaints);
    Some(Box::new(ShellLocal { options }))
}

#[async_trait]
impl Provisioner for ShellLocal {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        let shell = LocalShell {
            ui: &provisioning.ui,
            rendering: &provisioning.rendering,
            data: &provisioning.data,
            run: &provisioning.run,
        };
        Ok(self.options.run(&shell).await?)
    }
}
