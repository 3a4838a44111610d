//! How a command ends: its answer, or why there is none, and the exit code that says so.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use serde_json::{Map, Value, json};

use super::stop::Stopped;

/// Exit codes, as the help documents them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done; a command that runs until it is stopped ends with 0 when it is stopped
  1    failed: the work was begun and could not be completed, or a check says no
  2    bad usage or input: nothing was begun
  130  interrupted (Ctrl-C or SIGTERM) before the work was done; what was done is kept";

/// What a command found, for people and for machines.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Lines for people; may be empty.
    pub(crate) text: String,
    /// The object for machines.
    pub(crate) json: Map<String, Value>,
}

impl Answer {
    /// An answer whose object is `json`.
    pub(crate) fn new(text: String, json: Value) -> Self {
        let json = match json {
            Value::Object(object) => object,
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)) => Map::from_iter([("answer".to_owned(), other)]),
        };
        Self { text, json }
    }
}

/// Why a command ended without having done its work.
#[derive(Debug)]
pub(crate) struct Ending {
    cause: Cause,
    /// What was found all the same.
    partial: Option<Answer>,
}

#[derive(Debug)]
enum Cause {
    Failed(Box<dyn Error + Send + Sync>),
    BadInput(Box<dyn Error + Send + Sync>),
    /// With what to do to go on.
    Interrupted(&'static str),
}

impl Ending {
    /// The work could not be completed.
    pub(crate) fn failed(error: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Cause::Failed(Box::new(error)), partial: None }
    }

    /// What was given cannot be used.
    pub(crate) fn bad_input(error: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Cause::BadInput(Box::new(error)), partial: None }
    }

    /// It was stopped; `advice` says how to go on.
    pub(crate) fn interrupted(advice: &'static str) -> Self {
        Self { cause: Cause::Interrupted(advice), partial: None }
    }

    /// The same, with what was found until then.
    pub(crate) fn with(self, partial: Answer) -> Self {
        Self { partial: Some(partial), ..self }
    }

    fn code(&self) -> u8 {
        match self.cause {
            Cause::Failed(_) => 1,
            Cause::BadInput(_) => 2,
            Cause::Interrupted(_) => 130,
        }
    }
}

impl From<Stopped> for Ending {
    fn from(Stopped: Stopped) -> Self {
        Self::interrupted("run it again")
    }
}

/// Tells the outcome: the answer on standard output, an error on standard error. With `json` the
/// last line of standard output is one object in either case.
pub(crate) fn tell(outcome: Result<Answer, Ending>, json: bool) -> ExitCode {
    match outcome {
        Ok(answer) => {
            print_answer(answer, json);
            ExitCode::SUCCESS
        }
        Err(ending) => {
            let code = ending.code();
            let chain = causes(&ending.cause);
            let partial = ending.partial.unwrap_or_default();
            eprint_error(&chain, matches!(ending.cause, Cause::Interrupted(_)));
            print_answer(if json { with_error(partial, &chain, code) } else { partial }, json);
            ExitCode::from(code)
        }
    }
}

fn print_answer(answer: Answer, json: bool) {
    let line = if json { Value::Object(answer.json).to_string() } else { answer.text };
    if !line.is_empty() {
        print_line(line.trim_end());
    }
}

/// Writes one line to standard output at once.
pub(crate) fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    // A reader that has gone away wants no more lines; that is no failure of the command.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn with_error(mut partial: Answer, chain: &[String], code: u8) -> Answer {
    partial.json.insert("error".to_owned(), json!(chain.first()));
    partial.json.insert("causes".to_owned(), json!(chain.get(1..).unwrap_or_default()));
    partial.json.insert("exit_code".to_owned(), json!(code));
    partial
}

fn causes(cause: &Cause) -> Vec<String> {
    match cause {
        Cause::Interrupted(advice) => vec![format!("interrupted: {advice}")],
        Cause::Failed(error) | Cause::BadInput(error) => {
            let first: &(dyn Error + 'static) = &**error;
            let chain = std::iter::successors(Some(first), |&error| error.source());
            let mut texts: Vec<String> = chain.map(ToString::to_string).collect();
            // Transparent errors show their source as their own text.
            texts.dedup();
            texts
        }
    }
}

fn eprint_error(chain: &[String], interrupted: bool) {
    let mut err = io::stderr().lock();
    let label = if interrupted { "" } else { "error: " };
    for (index, text) in chain.iter().enumerate() {
        let line = if index == 0 { format!("{label}{text}") } else { format!("  because: {text}") };
        // Nobody is left to be told that standard error is closed.
        let _ = writeln!(err, "{line}");
    }
}
