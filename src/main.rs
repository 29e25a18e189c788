//! The `fanlight` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    fanlight::app::main()
}
