//! The `sleep` provisioner: waits.

use async_trait::async_trait;
use bakelite_engine::clock::pause_or_cancelled;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::duration::GoDuration;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "sleep",
    "Waits for a while.",
    Schema::of::<SleepOptions>,
    Make::Provisioner(make),
);

/// Options of sleep.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct SleepOptions {
    /// How long.
    duration: GoDuration,
}

struct Sleep {
    options: SleepOptions,
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn Provisioner>> {
    let options = read_options(decoded, complaints)?;
    Some(Box::new(Sleep { options }))
}

#[async_trait]
impl Provisioner for Sleep {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        pause_or_cancelled(self.options.duration.to_std(), &provisioning.cancel).await
    }
}
