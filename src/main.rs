//! Lightship.

fn main() -> std::process::ExitCode {
    lightship::cli::run(std::env::args_os())
}
