//! The command line of alys-sync. Start with `alys-sync demo`.

mod cli;
mod telemetry;

fn main() -> std::process::ExitCode {
    cli::main()
}
