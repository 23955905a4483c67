//! Throttling on request: EC2's calls beyond a rate are refused, as those of a busy account are.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::api_error::ApiError;

/// How many calls of EC2 an account may make: `20:100` is 20 in a second, and 100 at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRate {
    per_second: u32,
    burst: u32,
}

/// A rate that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate of calls such as `20:100`: 20 in a second, and 100 at once")]
pub struct CallRateError(String);

impl FromStr for CallRate {
    type Err = CallRateError;

    fn from_str(text: &str) -> Result<CallRate, CallRateError> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let rate = text.split_once(':').and_then(|(per_second, burst)| {
            Some(CallRate {
                per_second: number(per_second)?,
                burst: number(burst)?,
            })
        });
        rate.ok_or_else(|| CallRateError(text.to_owned()))
    }
}

/// The calls that a cloud still takes.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Option<(CallRate, Mutex<Bucket>)>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Throttle {
    /// Without a rate everything is admitted.
    pub(crate) fn new(rate: Option<CallRate>) -> Throttle {
        Throttle(rate.map(|rate| {
            let full = Bucket {
                tokens: f64::from(rate.burst),
                at: Instant::now(),
            };
            (rate, Mutex::new(full))
        }))
    }

    /// Takes one call, or refuses it as EC2 does (EC2 developer guide, "Request throttling for the Amazon EC2 API").
    pub(crate) fn admit(&self, now: Instant) -> Result<(), ApiError> {
        let Some((rate, bucket)) = &self.0 else {
            return Ok(());
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.at = now;
        bucket.tokens = (bucket.tokens + passed * f64::from(rate.per_second)).min(f64::from(rate.burst));
        if bucket.tokens < 1.0 {
            return Err(ApiError::with_status(
                503,
                "RequestLimitExceeded",
                "Request limit exceeded.",
            ));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn calls_beyond_the_rate_are_refused_until_time_has_passed() {
        let throttle = Throttle::new(Some("2:3".parse().unwrap()));
        let now = Instant::now();
        let admitted = |after| {
            let at = now + Duration::from_millis(after);
            (0..9).take_while(|_| throttle.admit(at).is_ok()).count()
        };
        assert_eq!([0, 400, 500, 1500, 9000].map(admitted), [3, 0, 1, 2, 3]);
        assert_eq!(throttle.admit(now).unwrap_err().code, "RequestLimitExceeded");
        assert!(Throttle::new(None).admit(now).is_ok());
    }

    #[test]
    fn a_rate_is_two_numbers() {
        for text in ["", "20", "20:", ":100", "0:5", "5:0", "-1:5", "20:100:1", "a:b"] {
            assert_eq!(text.parse::<CallRate>(), Err(CallRateError(text.to_owned())));
        }
    }
}
