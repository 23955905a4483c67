//! What time and the end of processes do to instances: due states come true, instances of dead processes stand still,
//! terminated ones let go of what they held and are forgotten after an hour.

use crate::moment::Moment;
use crate::state::instance::{Instance, InstanceState};
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

    /// Its process has ended without recording it, and its machine with it: the instance is as after a power cut.
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

    /// Puts an instance on its way out, at the user's wish. Who ends it owns it until then, also one that was stopped: if that process is
    /// killed on the way, the instance is not left there forever.
    pub(crate) fn leave(&mut self, state: InstanceState, owner: &str) {
        self.enter(state);
        self.owner = Some(owner.to_owned());
        self.transition_reason = format!("User initiated ({})", Moment::now());
        self.state_reason = Some((
            "Client.UserInitiatedShutdown".to_owned(),
            "Client.UserInitiatedShutdown: User initiated shutdown".to_owned(),
        ));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::instance::example;
    use crate::state::volume::{Attachment, EbsDevice, Volume};

    /// Returns a state with one instance that has two volumes, the first of which goes with it.
    fn state(instance: Instance) -> State {
        let mut region = Region::new("us-east-1");
        for (id, delete_on_termination) in [("vol-1", true), ("vol-2", false)] {
            let ebs = EbsDevice {
                snapshot_id: None,
                size_gib: 8,
                volume_type: "gp3".to_owned(),
                iops: None,
                throughput: None,
                encrypted: false,
                kms_key_id: None,
                delete_on_termination,
            };
            let attachment = Attachment {
                instance_id: instance.id.clone(),
                device: id.to_owned(),
                since: instance.launched,
            };
            let volume = Volume {
                id: id.to_owned(),
                zone: instance.zone.clone(),
                created: instance.launched,
                ebs,
                attachment: Some(attachment),
                client_token: None,
            };
            region.volumes.insert(id.to_owned(), volume);
        }
        region.instances.insert(instance.id.clone(), instance);
        let mut state = State::default();
        state.regions.insert("us-east-1".to_owned(), region);
        state
    }

    fn only(state: &State) -> Option<&Instance> {
        state.regions["us-east-1"].instances.values().next()
    }

    #[test]
    fn a_stopped_instance_is_terminated_although_the_process_that_does_it_is_killed() {
        let mut instance = Instance {
            state: InstanceState::Stopped,
            owner: None,
            next: None,
            ..example()
        };
        instance.leave(InstanceState::ShuttingDown, "killed");
        let now = instance.launched.plus(Duration::from_secs(10));
        instance.settle(now, |owner| owner == "killed");
        assert_eq!(instance.state, InstanceState::Terminated);
        assert_eq!(instance.owner, None);
    }

    #[test]
    fn a_due_state_comes_true_and_one_to_come_does_not() {
        let instance = Instance {
            state: InstanceState::Pending,
            next: Some((InstanceState::Running, example().launched.plus(Duration::from_secs(10)))),
            ..example()
        };
        let launched = instance.launched;
        let mut state = state(instance);
        state.settle(launched.plus(Duration::from_secs(9)), |_| false);
        assert_eq!(only(&state).unwrap().state, InstanceState::Pending);
        state.settle(launched.plus(Duration::from_secs(10)), |_| false);
        assert_eq!(only(&state).unwrap().state, InstanceState::Running);
    }

    #[test]
    fn instances_of_dead_processes_stand_still() {
        for (before, after) in [
            (InstanceState::Pending, InstanceState::Stopped),
            (InstanceState::Running, InstanceState::Stopped),
            (InstanceState::Stopping, InstanceState::Stopped),
            (InstanceState::ShuttingDown, InstanceState::Terminated),
            (InstanceState::Terminated, InstanceState::Terminated),
        ] {
            let mut state = state(Instance {
                state: before,
                ..example()
            });
            state.settle(Moment::now(), |owner| owner == "other");
            assert_eq!(only(&state).unwrap().state, before, "its process lives");
            state.settle(Moment::now(), |owner| owner == "owner");
            let instance = only(&state).unwrap();
            assert_eq!((instance.state, instance.owner.as_deref()), (after, None), "{before:?}");
            assert!(instance.has_disk);
        }
    }

    #[test]
    fn a_terminated_instance_releases_its_volumes_and_is_forgotten_after_an_hour() {
        let instance = Instance {
            state: InstanceState::ShuttingDown,
            next: Some((InstanceState::Terminated, example().launched)),
            has_disk: false,
            ..example()
        };
        let launched = instance.launched;
        let mut state = state(instance);
        state.settle(launched.plus(Duration::from_hours(1)), |_| false);
        let volumes = &state.regions["us-east-1"].volumes;
        assert_eq!(volumes.keys().collect::<Vec<_>>(), ["vol-2"]);
        assert_eq!(volumes["vol-2"].attachment, None);
        assert!(only(&state).is_some());
        state.settle(launched.plus(Duration::from_secs(3602)), |_| false);
        assert!(only(&state).is_none());
    }
}
