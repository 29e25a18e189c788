//! A camera that refuses the password: how often it is tried.

use std::time::Duration;

use super::super::camera::Camera;
use super::super::relay::Relay;
use super::gaps::default_settings;

/// What the camera has heard.
#[derive(Debug)]
pub struct Outcome {
    /// When each request with the wrong password came, since the first one.
    pub tries: Vec<Duration>,
    /// What the relay says of it.
    pub decision: String,
    /// How long it was watched.
    pub time: Duration,
}

/// Watches it for so long.
pub async fn try_for(time: Duration) -> Outcome {
    let camera = Camera::builder().require_auth("relay", "right").start().await;
    let settings = default_settings(&camera.url().replace("//", "//relay:wrong@"));
    let relay = Relay::builder().stream("cam", settings).start().await;
    tokio::time::sleep(time).await;
    let requests = camera.requests();
    let given: Vec<_> =
        requests.iter().filter(|r| r.header("Authorization").is_some()).map(|r| r.at).collect();
    let tries = given.iter().map(|at| *at - given[0]).collect();
    let decision = relay.stream("cam").status().borrow().decision.clone().unwrap_or_default();
    Outcome { tries, decision, time }
}

impl Outcome {
    /// What does not hold; empty when all is well.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let minute = Duration::from_secs(60);
        let first = self.tries.iter().filter(|at| **at < minute).count();
        if !(1..=3).contains(&first) {
            complaints.push(format!("{first} tries in the first minute"));
        }
        // By chance a wait is longer, never shorter.
        let later: Vec<_> = self.tries.iter().skip(first).collect();
        if later.windows(2).any(|pair| *pair[1] - *pair[0] < minute) {
            complaints.push(format!("more than one try a minute: {:?}", self.tries));
        }
        if self.time > 2 * minute + minute / 2 && later.is_empty() {
            complaints.push("it is not tried again at all".to_owned());
        }
        if first == 3 && !self.decision.contains("one try a minute") {
            complaints.push(format!("what it says of it: {:?}", self.decision));
        }
        complaints
    }
}
