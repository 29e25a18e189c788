//! `fanlight probe` and `fanlight watch`: one source, looked at closely by the direct client.
//!
//! | part | what |
//! |---|---|
//! | `probing` | the order of things, within a time |
//! | `watching` | one session, read every second |
//! | `heard` | the client's notes, as steps of the report |
//! | `measure` | what comes, counted |
//! | `faults` | what is wrong with a session description |
//! | `advice` | the verdict, and what to do |
//! | `block` | a configuration to paste |
//! | `clean` | what a camera wrote, fit to be printed |
//! | `words` | figures as people read them |
//! | `report` | the report: the shape of `--json` |

mod advice;
mod block;
mod clean;
mod faults;
mod heard;
mod measure;
mod probing;
mod report;
mod watching;
mod words;

pub use probing::{Options, probe};
pub use report::{
    Camera, Certificate, Failure, KeepAlive, Reading, Report, Session, State, Step, Track, Verdict,
};
pub use watching::{Glance, Watch};
pub use words::{bit_rate, time};
