//! A virtual camera that behaves badly by a schedule: so that dashboards, alerts and retry logic have something to show.

use std::str::FromStr;
use std::time::Duration;

use crate::config::parse_duration;

/// What a camera does, in order and again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule(Vec<(Act, Duration)>);

/// What it does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It serves.
    Up,
    /// It ends every connection and takes none, as one that restarts.
    Refuse,
    /// It sends and answers nothing, and its connections stay open.
    Hang,
}

impl Schedule {
    /// Each act and its length, without an end.
    pub(super) fn acts(&self) -> impl Iterator<Item = (Act, Duration)> {
        self.0.iter().copied().cycle()
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let act = |part: &str| {
            let (word, length) = part.trim().split_once(' ').ok_or_else(|| wrong(part))?;
            let act = match word {
                "up" => Act::Up,
                "refuse" => Act::Refuse,
                "hang" => Act::Hang,
                _ => return Err(wrong(part)),
            };
            let length = parse_duration(length.trim())?;
            if length < SHORTEST {
                return Err(format!("`{}`: at least 100ms", part.trim()));
            }
            Ok((act, length))
        };
        text.split(',').map(act).collect::<Result<_, _>>().map(Self)
    }
}

fn wrong(part: &str) -> String {
    format!("`{}`: expected up, refuse or hang and a duration, such as `hang 8s`", part.trim())
}

/// Shorter acts are a busy loop.
const SHORTEST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_acts_and_their_lengths_again_and_again() {
        let schedule: Schedule = "up 50s, refuse 500ms,hang 8s".parse().unwrap();
        let seconds = Duration::from_secs;
        let acts: Vec<_> = schedule.acts().take(4).collect();
        let once =
            [(Act::Up, seconds(50)), (Act::Refuse, Duration::from_millis(500)), (Act::Hang, seconds(8))];
        assert_eq!(acts, [&once[..], &once[..1]].concat());
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        for text in ["", "up", "up 5", "sleep 5s", "up 5s,", "up 0s"] {
            let why = text.parse::<Schedule>().unwrap_err();
            assert!(!why.is_empty(), "{text}");
        }
        assert!("sleep 5s".parse::<Schedule>().unwrap_err().contains("`hang 8s`"));
    }
}
