//! The proofs that the picture is never lost: run in a short form by the tests, and in full by
//! `cargo bench --bench continuity`.

pub mod gaps;
pub mod keeping;
pub mod password;
pub mod storm;
