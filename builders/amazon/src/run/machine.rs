//! An instance from its launch to its end: the part of the story of a bake that all builders share.

use std::sync::Arc;

use bakelite_engine::bake::{BakeError, Handle, Made};
use bakelite_template::plan::BuildData;

use super::connect::Connection;
use super::instance::Access;
use super::key_pair::{self, KeyPair};
use super::launch::Launch;
use super::profile;
use super::security_group::{self, SecurityGroups};
use crate::cloud::Cloud;

/// An instance that was provisioned, with what is temporary beside it.
pub(crate) struct Machine {
    /// Its id.
    pub(crate) instance: Made<String>,
    /// The values of `build.*`.
    pub(crate) data: BuildData,
    key_pair: KeyPair,
    security_groups: SecurityGroups,
}

impl Launch<'_> {
    /// Launches the instance with what it needs, connects, and provisions it. It runs then, and nobody is connected any more.
    pub(crate) async fn machine(&self) -> Result<Machine, BakeError> {
        let cloud = &self.cloud;
        let bake = cloud.bake;
        let access = async {
            let (run, tags) = (self.options, &self.texts.run_tags);
            tokio::try_join!(
                key_pair::make(cloud, &run.communicator, tags),
                security_group::make(cloud, &run.security_groups, &self.network, run.admitted(), tags),
                profile::make(cloud, run, tags),
            )
        };
        let (key_pair, security_groups, profile) = bake.step("key pair and security group", access).await?;
        let access = Access {
            security_groups: security_groups.ids.clone(),
            key_name: key_pair.name.clone(),
            profile,
        };
        let instance = bake.step("launch", self.instance(&access)).await?;
        let connect = self.connect(&instance.value, &key_pair);
        let Connection {
            communicator,
            data,
            session,
        } = bake.step("connect", connect).await?;
        let provision = bake.provision(Arc::clone(&communicator), data.clone());
        bake.step("provision", provision).await?;
        self.clear_keys(communicator.as_ref(), &key_pair).await;
        communicator.close().await;
        if let Some(session) = session {
            session.close().await;
        }
        Ok(Machine {
            instance,
            data,
            key_pair,
            security_groups,
        })
    }

    /// Stops the instance, and sets the attributes that an image of it gets.
    pub(crate) async fn stopped(&self, id: &str) -> Result<(), BakeError> {
        let bake = self.cloud.bake;
        bake.step("stop", self.stop(id)).await?;
        bake.step("attributes", self.set_attributes(id)).await
    }
}

impl Machine {
    /// Undoes what is not needed any more once `taken` says that nothing more is taken of the instance. What fails now is undone at the
    /// end of the bake, with a report.
    pub(crate) async fn clean_up_after(&self, cloud: &Cloud<'_>, taken: impl Future<Output = bool>) {
        let machine = async {
            if !taken.await {
                return;
            }
            if undone(cloud, &self.instance.handle).await
                && let Some(group) = &self.security_groups.handle
            {
                undone(cloud, group).await;
            }
        };
        let key = async {
            if let Some(pair) = &self.key_pair.handle {
                undone(cloud, pair).await;
            }
        };
        tokio::join!(machine, key);
    }
}

async fn undone(cloud: &Cloud<'_>, handle: &Handle) -> bool {
    if let Some(progress) = handle.progress() {
        cloud.say(progress);
    }
    handle.destroy().await.is_ok()
}
