//! What to do when a source fails, and how to notice that it has: decisions only.
//!
//! Nothing here reads a clock, draws a random number, opens a socket or waits. The time and the random numbers are
//! arguments, so that hours of failing cameras are simulated in milliseconds of test.
//!
//! | question | answered by |
//! |---|---|
//! | how long until the next try, by a rule the user chose | [`Strategy`], with a [`Streak`] of failures |
//! | the same by what this camera has done so far (`auto`) | [`History`], which gives a [`Decision`] in words as well |
//! | does the picture still move | [`Liveness`] |
//! | how long do the sessions of this camera last | [`Lifetime`] |
//! | is too much lost over UDP | [`Loss`] |
//! | which of several attempts side by side starts, and which stays | [`Heat`], [`Wins`] |
//! | may this attempt go out now, among all the others | [`Governor`] |
//! | which of several sources is next | [`Choice`] |

mod adaptive;
mod choice;
mod governor;
mod lifetime;
mod liveness;
mod loss;
mod race;
mod strategy;
mod words;

pub use adaptive::{Decision, Fact, Failed, History, Limits, Race, Wins};
pub use choice::{Choice, FailBack, Next};
pub use governor::{Governor, Spacing};
pub use lifetime::{Ends, Lifetime};
pub use liveness::{Liveness, Nature, Patience, Verdict};
pub use loss::Loss;
pub use race::{Heat, SILENT_HOST};
pub use strategy::{Strategy, Streak};
