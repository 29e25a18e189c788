//! Every deviation of real cameras that we know of, as a camera that deviates so and in nothing else: the rows of the
//! camera survey by their numbers, and others of the same kind.
//!
//! Each states its outcome, by either client: `relayed`, a viewer gets pictures one after the other with nothing left out,
//! for as long as it watches; or `refused`, with the words the status API has for it. A user runs `client: auto`, so that
//! is what every row is run with; `client: direct` beside it, because that is who takes over.

mod camera;
mod control_channel;
mod description;
mod devices;
mod hostile;
mod media;
mod setting_up;
mod udp;

use std::collections::BTreeSet;
use std::time::Duration;

use fanlight::config::{ClientChoice, UpstreamTransport};
use fanlight::vocabulary::Phase;
use tokio::time::timeout;

use crate::support::relay::{Relay, camera_settings};
use crate::support::stamp::Stamp;
use crate::support::viewer::Viewer;

use camera::{Camera, Script};

/// What becomes of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Pictures one after the other at a viewer.
    Relayed,
    /// The last failure has these words.
    Refused(&'static str),
}

use Outcome::{Refused, Relayed};

/// Runs a camera with both clients.
async fn check(name: &str, script: Script, outcome: Outcome) -> [Camera; 2] {
    over(name, script, UpstreamTransport::Tcp, outcome).await
}

async fn over(name: &str, script: Script, transport: UpstreamTransport, outcome: Outcome) -> [Camera; 2] {
    let other = script.clone();
    let (auto, direct) = tokio::join!(
        by(ClientChoice::Auto, name, script, transport, outcome),
        by(ClientChoice::Direct, name, other, transport, outcome)
    );
    [auto, direct]
}

/// Runs a camera with one client.
async fn by(
    client: ClientChoice,
    name: &str,
    script: Script,
    transport: UpstreamTransport,
    outcome: Outcome,
) -> Camera {
    let camera = script.start().await;
    let mut settings = camera_settings(&camera.url);
    settings.client = client;
    settings.transport = transport;
    let relay = Relay::builder().stream("cam", settings).start().await;
    let what = format!("{name} by client {client:?}");
    match outcome {
        Relayed => relayed(&relay, &what).await,
        Refused(words) => refused(&relay, &what, words).await,
    }
    camera
}

async fn relayed(relay: &Relay, what: &str) {
    let mut status = relay.stream("cam").status();
    // What is borrowed of the status must not be kept: the source could not change it.
    let live = timeout(LIMIT, status.wait_for(|status| status.phase == Phase::Live)).await.is_ok();
    if !live {
        panic!("{what}: not live: {:?}", relay.stream("cam").status().borrow().last_failure);
    }
    let seen = std::cell::Cell::new((0, None));
    let watching = async {
        let (mut viewer, _) = Viewer::play_tcp(&relay.url("cam")).await;
        let mut run = 0;
        // Its sequence number, and the last frame and packet that was stamped.
        let mut last: Option<(u16, (u32, u16))> = None;
        while run < PICTURES {
            let Some(packet) = viewer.anything_on(0, LIMIT).await else { panic!("{what}: no packet") };
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let stamp = Stamp::find(&packet).map(|stamp| (stamp.frame, stamp.packet));
            let follows = last.is_none_or(|(before, (frame, part))| {
                let next = if part == 0 { (frame, 1) } else { (frame + 1, 0) };
                sequence == before.wrapping_add(1) && stamp.is_none_or(|stamp| stamp == next)
            });
            // After another session the count begins anew. What has no stamp is the relay's: parameter sets.
            run = if follows { run + u32::from(stamp.is_some_and(|(_, part)| part == 1)) } else { 0 };
            last = stamp.or(last.map(|(_, stamp)| stamp)).map(|stamp| (sequence, stamp));
            seen.set((seen.get().0 + 1, last));
        }
    };
    if timeout(LIMIT, watching).await.is_err() {
        let (seen, status) = (seen.get(), relay.stream("cam").status().borrow().clone());
        panic!("{what}: no {PICTURES} pictures in a row, but {seen:?}: {status:?}");
    }
}

async fn refused(relay: &Relay, what: &str, words: &str) {
    let mut status = relay.stream("cam").status();
    let says = |status: &fanlight::hub::Status| {
        status.last_failure.as_ref().is_some_and(|failure| failure.message.contains(words))
    };
    if timeout(LIMIT, status.wait_for(says)).await.is_err() {
        panic!("{what}: it does not say {words:?}, but {:?}", relay.stream("cam").status().borrow());
    }
}

/// The survey's rows, each of which has a test with its number in its name: a row may have several, and a test may stand
/// for two.
#[test]
fn every_row_of_the_survey_has_a_test() {
    let sources = [
        include_str!("control_channel.rs"),
        include_str!("description.rs"),
        include_str!("devices.rs"),
        include_str!("hostile.rs"),
        include_str!("media.rs"),
        include_str!("setting_up.rs"),
        include_str!("udp.rs"),
    ];
    let names = sources.iter().flat_map(|source| source.lines()).filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
            .or(Some(line))?
            .split(['(', ':'])
            .next()
    });
    let named: BTreeSet<&str> = names.flat_map(|name| name.split('_').take(3)).collect();
    let missing: Vec<String> =
        (1..=90).map(|row| format!("c{row:02}")).filter(|row| !named.contains(row.as_str())).collect();
    assert_eq!(missing, [] as [&str; 0]);
}

/// Pictures without a gap.
const PICTURES: u32 = 50;

/// For a row, on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(20);

/// One test for each row.
macro_rules! rows {
    ($($name:ident: $script:expr => $outcome:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            crate::deviations::check(stringify!($name), $script, $outcome).await;
        })+
    };
}
pub(crate) use rows;
