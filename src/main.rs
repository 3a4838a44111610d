//! The command line of alys-sync. Start with `alys-sync demo`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
