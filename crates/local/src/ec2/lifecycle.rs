//! What time and the end of processes do to instances: due states come true, instances of dead processes stand still,
//! terminated ones let go of what they held and are forgotten after an hour.

use crate::ec2::instances::{Instance, InstanceState};
use crate::moment::Moment;
use crate::state::{Region, State};

/// How long a terminated instance can still be described, in seconds, as in EC2.
const TERMINATED_VISIBLE_SECONDS: i64 = 3600;

impl State {
    /// Applies what has happened by itself until now.
    pub(crate) fn settle(&mut self, now: Moment, is_gone: impl Fn(&str) -> bool) {
        for region in self.regions.values_mut() {
            for instance in region.instances.values_mut() {
                instance.settle(now, &is_gone);
            }
            region.release_terminated(now);
        }
    }
}

impl Instance {
    fn settle(&mut self, now: Moment, is_gone: impl Fn(&str) -> bool) {
        if self.owner.as_deref().is_some_and(is_gone) {
            self.lose_owner(now);
        }
        if let Some((state, due)) = self.next
            && due <= now
        {
            self.enter(state);
            if state == InstanceState::Terminated {
                self.terminated = Some(due);
            }
        }
    }

    /// Its process has ended without a word, and its machine with it: the instance is as after a power cut.
    fn lose_owner(&mut self, now: Moment) {
        self.owner = None;
        match (self.state, self.next) {
            (InstanceState::Pending | InstanceState::Running, _) | (InstanceState::Stopping, None) => {
                self.enter(InstanceState::Stopped);
                self.transition_reason = format!("Server.ProcessEnded ({now})");
                self.state_reason = Some((
                    "Server.ProcessEnded".to_owned(),
                    "The process that ran the instance has ended".to_owned(),
                ));
            }
            (InstanceState::ShuttingDown, None) => self.next = Some((InstanceState::Terminated, now)),
            _ => {}
        }
    }

    /// Goes into a state that nothing follows by itself.
    pub(crate) fn enter(&mut self, state: InstanceState) {
        self.state = state;
        self.next = None;
    }
}

impl Region {
    /// Deletes or detaches the volumes of terminated instances, and forgets instances that were terminated long ago.
    fn release_terminated(&mut self, now: Moment) {
        let instances = &self.instances;
        let gone = |id: &str| instances.get(id).is_none_or(|instance| !instance.exists());
        let mut deleted = Vec::new();
        for volume in self.volumes.values_mut() {
            if volume
                .attachment
                .as_ref()
                .is_some_and(|attachment| gone(&attachment.instance_id))
            {
                volume.attachment = None;
                if volume.ebs.delete_on_termination {
                    deleted.push(volume.id.clone());
                }
            }
        }
        let forgotten = self.instances.values().filter(|instance| {
            let age = instance
                .terminated
                .map_or(0, |terminated| now.seconds_since(terminated));
            !instance.exists() && !instance.has_disk && age > TERMINATED_VISIBLE_SECONDS
        });
        let forgotten: Vec<String> = forgotten.map(|instance| instance.id.clone()).collect();
        for id in deleted.iter().chain(&forgotten) {
            self.volumes.remove(id);
            self.instances.remove(id);
            self.tags.remove(id);
        }
    }
}
