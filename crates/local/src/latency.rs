//! How long changes of state take: nothing by default, or a profile that resembles the real EC2.

use std::str::FromStr;
use std::time::Duration;

/// How long each change of state lasts, besides the work that it really is. The default is no time at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// From `pending` to `running`.
    pub instance: Duration,
    /// From `running` until the SSH server listens.
    pub boot: Duration,
    /// From `stopping` to `stopped`.
    pub stop: Duration,
    /// From `pending` to `completed`, for snapshots. Where a list does not say it, two thirds of what their image takes: EC2 still has
    /// work to do on an image whose snapshots are complete.
    pub snapshot: Duration,
    /// From `pending` to `available`, for images; not before their snapshots are complete.
    pub image: Duration,
    /// From `shutting-down` to `terminated`.
    pub terminate: Duration,
    /// From the answer to a call that makes something until other calls find it: EC2 and IAM are eventually consistent.
    pub visible: Duration,
}

/// A latency profile that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LatencyError {
    /// Not a profile's name and not a list of `STATE=SECONDS`.
    #[error(
        "latency `{0}` is neither `none`, `ec2` nor a list like `instance=12,boot=8,stop=20,snapshot=50,image=75,terminate=25,visible=3`"
    )]
    Form(String),
    /// A state that has no latency.
    #[error(
        "latency has no state `{0}`: there are `instance`, `boot`, `stop`, `snapshot`, `image`, `terminate` and `visible`"
    )]
    State(String),
    /// Not a number of seconds, or more than a day.
    #[error("latency `{0}` is not a number of seconds between 0 and 86400")]
    Seconds(String),
}

impl Latency {
    /// Measures of a small Linux instance in us-east-1, rounded.
    fn ec2() -> Latency {
        Latency {
            instance: Duration::from_secs(12),
            boot: Duration::from_secs(8),
            stop: Duration::from_secs(20),
            snapshot: Duration::from_secs(50),
            image: Duration::from_secs(75),
            terminate: Duration::from_secs(25),
            visible: Duration::ZERO,
        }
    }

    /// Takes over an assignment; answers the state that it names.
    fn set<'a>(&mut self, assignment: &'a str) -> Result<&'a str, LatencyError> {
        let (state, seconds) = assignment
            .split_once('=')
            .ok_or_else(|| LatencyError::Form(assignment.to_owned()))?;
        let duration = seconds
            .parse::<f64>()
            .ok()
            .filter(|seconds| (0.0..=86_400.0).contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| LatencyError::Seconds(seconds.to_owned()))?;
        let state = state.trim();
        let place = match state {
            "instance" => &mut self.instance,
            "boot" => &mut self.boot,
            "stop" => &mut self.stop,
            "snapshot" => &mut self.snapshot,
            "image" => &mut self.image,
            "terminate" => &mut self.terminate,
            "visible" => &mut self.visible,
            other => return Err(LatencyError::State(other.to_owned())),
        };
        *place = duration;
        Ok(state)
    }
}

impl FromStr for Latency {
    type Err = LatencyError;

    /// Reads `none`, `ec2`, or `STATE=SECONDS` separated by commas; states that are not named take no time.
    fn from_str(text: &str) -> Result<Latency, LatencyError> {
        match text {
            "none" => Ok(Latency::default()),
            "ec2" => Ok(Latency::ec2()),
            list => {
                let mut latency = Latency::default();
                let mut snapshot_is_given = false;
                for assignment in list.split(',') {
                    snapshot_is_given |= latency.set(assignment)? == "snapshot";
                }
                if !snapshot_is_given {
                    latency.snapshot = latency.image * 2 / 3;
                }
                latency.image = latency.image.max(latency.snapshot);
                Ok(latency)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_profiles_and_lists() {
        assert_eq!("none".parse(), Ok(Latency::default()));
        assert_eq!("ec2".parse(), Ok(Latency::ec2()));
        let list: Latency = "instance=12,stop=20,image=75,terminate=0.5,visible=3".parse().unwrap();
        assert_eq!(list.instance, Duration::from_secs(12));
        assert_eq!(list.terminate, Duration::from_millis(500));
        assert_eq!(list.visible, Duration::from_secs(3));
        assert_eq!(list.boot, Duration::ZERO);
        assert_eq!(list.snapshot, Duration::from_secs(50));
        let list: Latency = "snapshot=9,image=3".parse().unwrap();
        assert_eq!(
            (list.snapshot, list.image),
            (Duration::from_secs(9), Duration::from_secs(9))
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert_eq!("fast".parse::<Latency>(), Err(LatencyError::Form("fast".into())));
        assert_eq!("reboot=1".parse::<Latency>(), Err(LatencyError::State("reboot".into())));
        for seconds in ["-1", "x", "nan", "inf", "1e9", ""] {
            assert_eq!(
                format!("stop={seconds}").parse::<Latency>(),
                Err(LatencyError::Seconds(seconds.into()))
            );
        }
    }
}
