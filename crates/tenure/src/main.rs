//! `tenure`: the server, its administration, the host of devices and the worker of agents, in one program.

mod administration;
mod api_key;
mod archive;
mod arguments;
mod cli;
mod commands;
mod error;
mod output;
mod process;
mod values;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

/// A request makes dozens of small allocations, and takes less time with this allocator than with that of the C library.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // clap prints --help and usage errors itself (exit code 2 for the latter).
    let cli = Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}
