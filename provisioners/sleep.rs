//! The `sleep` provisioner: waits.

use async_trait::async_trait;
use bakelite_engine::provisioner::{ProvisionError, Provisioner, Provisioning};
use bakelite_engine::registry::{Registration, read_options};
use bakelite_template::component::Complaint;
use bakelite_template::decode::Decoded;
use bakelite_template::duration::GoDuration;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::retry::pause;

pub(crate) const REGISTRATION: Registration =
    crate::registration("sleep", "Waits for a while.", Schema::of::<SleepOptions>, make);

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
    crate::unless_wrong(Sleep { options }, complaints)
}

#[async_trait]
impl Provisioner for Sleep {
    async fn provision(&self, provisioning: &Provisioning) -> Result<(), ProvisionError> {
        pause(self.options.duration.to_std(), &provisioning.cancel).await
    }
}
