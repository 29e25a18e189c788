//! The longest gap at each of 50 viewers. The exact figures are for `cargo bench --bench continuity`; a busy machine
//! gets time on top here.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::proof::gaps::{Trouble, measure};

/// What a test run on two busy cores may take longer.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_viewers_go_on_after_whatever_happens_to_their_camera() {
    let mut runs: JoinSet<_> = Trouble::ALL
        .map(|trouble| async move { (trouble, measure(trouble, 50).await) })
        .into_iter()
        .collect();
    while let Some(run) = runs.join_next().await {
        let (trouble, outcome) = run.unwrap();
        assert_eq!((outcome.lost, &outcome.wrong[..]), (0, &[][..]), "{trouble:?}");
        let longest = outcome.gaps[outcome.gaps.len() - 1];
        assert!(longest < trouble.limit() + SLACK, "{trouble:?}: {longest:?}");
    }
}
