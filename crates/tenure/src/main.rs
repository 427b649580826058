//! `tenure`: the server, its administration, and the host that drives devices, in one program.

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

fn main() -> ExitCode {
    // clap itself answers --help and usage errors (exit code 2).
    let cli = Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}
