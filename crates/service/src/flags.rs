//! Command lines and environment variables, read in one place for all programs. The rules:
//!
//! - A blank variable is an unset one.
//! - A flag wins over the variable of another flag that it excludes.
//! - An option takes the next word, whatever it begins with, unless that is a flag of the same command.
//! - Every bad value is told at once, with its flag, its variable and the reason.
//! - The values of variables, and passwords in addresses, are never printed.

use std::collections::HashSet;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::exit;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, Id, Parser, value_parser};

use crate::redact::{redacted, redacted_url};

/// The exit code of a command line that can't be read, as clap has it.
const USAGE: i32 = 2;

/// Reads the program's arguments and environment, or ends the program with all that is wrong in them.
pub fn parse<T: Parser>() -> T {
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut matches = read(T::command(), words).unwrap_or_else(|refusal| refusal.exit());
    T::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut T::command()).exit())
}

/// Why a command line can't be read.
#[derive(Debug)]
struct Refusal {
    /// What is wrong with values, a line each.
    problems: Vec<String>,
    /// What else is wrong, or help that was asked for.
    rest: Option<clap::Error>,
    usage: String,
}

impl Refusal {
    fn exit(self) -> ! {
        let text = self.text();
        match self.rest {
            // In colour, and help to standard output; but not with a password in it.
            Some(error) if self.problems.is_empty() && text == error.render().to_string().trim_end() => {
                error.exit()
            }
            _ => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
        exit(USAGE)
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> =
            self.problems.iter().map(|problem| format!("error: {problem}")).collect();
        match &self.rest {
            Some(error) => lines.push(redacted(error.render().to_string().trim_end()).into_owned()),
            None => lines.push(format!("\n{}\n\nFor more information, try '--help'.", self.usage)),
        }
        lines.join("\n")
    }
}

fn read(command: Command, words: Vec<OsString>) -> Result<ArgMatches, Refusal> {
    let command = each(command, &|arg| hidden(without_blank(with_any_word(arg))));
    let typed = Typed::new(&command, &words);
    let leaf = typed.leaf(&command);
    let overruled = typed.overruled(&leaf);
    let command = each(command, &|arg| match overruled.contains(arg.get_id()) {
        true => arg.env(Resettable::Reset),
        false => arg,
    });
    matches(command, words, &leaf, &typed)
}

/// What clap makes of the words, or all that it refuses in them.
fn matches(
    mut command: Command,
    mut words: Vec<OsString>,
    leaf: &Command,
    typed: &Typed,
) -> Result<ArgMatches, Refusal> {
    let (mut problems, mut rest) = (missing_values(leaf, &words), None);
    let forgotten = !problems.is_empty();
    // Each turn finds one problem and takes it out of the way of the next.
    for _ in 0..=leaf.get_arguments().count() {
        let error = match command.clone().try_get_matches_from(&words) {
            Ok(matches) if problems.is_empty() && rest.is_none() => return Ok(matches),
            Ok(_) => break,
            Err(error) => error,
        };
        if let Some(arg) = bad_argument(leaf, &error) {
            problems.push(problem(arg, &error, typed.ids.contains(arg.get_id())));
            let id = arg.get_id().clone();
            command = each(command, &|arg| if *arg.get_id() == id { as_words(arg) } else { arg });
        } else {
            let unknown = unknown_word(&error, &words);
            if !error.use_stderr() {
                problems.clear();
            }
            rest = rest.or(Some(error));
            let Some(unknown) = unknown else { break };
            words.remove(unknown);
        }
    }
    // What follows a forgotten value is read as something that it is not.
    let rest = rest.filter(|_: &clap::Error| !forgotten || problems.is_empty());
    Err(Refusal { problems, rest, usage: leaf.clone().render_usage().to_string() })
}

/// The command with all its arguments changed, those of its subcommands too.
fn each(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|command| each(command, change))
}

/// `--prompt "- a heart"`, `--seed -1`, `--weights -1,2`.
fn with_any_word(arg: Arg) -> Arg {
    let takes_one = arg.get_num_args().is_none_or(|count| count == 1.into());
    match takes_value(&arg) && takes_one && !arg.is_positional() {
        true => arg.allow_hyphen_values(true),
        false => arg,
    }
}

fn without_blank(arg: Arg) -> Arg {
    let blank = |name: &&OsStr| std::env::var_os(name).is_some_and(|value| is_blank(&value));
    let Some(name) = arg.get_env().filter(blank).map(|name| name.to_string_lossy().into_owned()) else {
        return arg;
    };
    let help = format!("{} [env: {name}]", arg.get_help().cloned().unwrap_or_default());
    arg.env(Resettable::Reset).help(help)
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

fn hidden(arg: Arg) -> Arg {
    arg.hide_env_values(true)
}

fn as_words(arg: Arg) -> Arg {
    match takes_value(&arg) {
        true => arg.value_parser(value_parser!(OsString)),
        false => arg,
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// What stands on the command line, as far as it can be read.
struct Typed {
    /// Names of the subcommands.
    path: Vec<String>,
    ids: HashSet<Id>,
}

impl Typed {
    fn new(command: &Command, words: &[OsString]) -> Self {
        let lenient = each(command.clone(), &as_words).ignore_errors(true);
        let mut typed = Self { path: vec![], ids: HashSet::new() };
        let Ok(matches) = lenient.try_get_matches_from(words) else { return typed };
        let mut matches = &matches;
        loop {
            let from_line = |id: &&Id| {
                let source =
                    matches.try_contains_id(id.as_str()).is_ok().then(|| matches.value_source(id.as_str()));
                source.flatten() == Some(clap::parser::ValueSource::CommandLine)
            };
            typed.ids.extend(matches.ids().filter(from_line).cloned());
            let Some((name, inner)) = matches.subcommand() else { return typed };
            typed.path.push(name.to_owned());
            matches = inner;
        }
    }

    /// The subcommand that was typed, with all that clap adds to it.
    fn leaf(&self, command: &Command) -> Command {
        let mut command = command.clone();
        command.build();
        for name in &self.path {
            let Some(inner) = command.find_subcommand(name) else { break };
            command = inner.clone();
        }
        command
    }

    /// What excludes something that was typed, and was not typed itself.
    fn overruled(&self, leaf: &Command) -> HashSet<Id> {
        let mut pairs: Vec<(Id, Id)> = Vec::new();
        for arg in leaf.get_arguments() {
            let excluded = leaf.get_arg_conflicts_with(arg).into_iter();
            pairs.extend(excluded.map(|other| (arg.get_id().clone(), other.get_id().clone())));
        }
        for mut group in leaf.get_groups().cloned() {
            if !group.is_multiple() {
                let ids: Vec<&Id> = group.get_args().collect();
                pairs.extend(ids.iter().flat_map(|&a| ids.iter().map(move |&b| (a.clone(), b.clone()))));
            }
        }
        let both = pairs.into_iter().flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)]);
        both.filter(|(a, b)| self.ids.contains(a) && !self.ids.contains(b)).map(|(_, b)| b).collect()
    }
}

/// Options before another flag of the command: their value was forgotten.
fn missing_values(leaf: &Command, words: &[OsString]) -> Vec<String> {
    let line = words.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str());
    let line: Vec<&str> = line.collect();
    let pairs = line.windows(2).filter_map(|pair| {
        let arg = leaf.get_arguments().find(|arg| is_flag(arg, pair[0]))?;
        let next = pair[1].split_once('=').map_or(pair[1], |(flag, _)| flag);
        let forgotten =
            arg.is_allow_hyphen_values_set() && leaf.get_arguments().any(|arg| is_flag(arg, next));
        forgotten.then(|| {
            format!(
                "a value is required for '{arg}', and {next} is a flag itself; if it is meant, write {}={}",
                pair[0], pair[1]
            )
        })
    });
    pairs.collect()
}

fn is_flag(arg: &Arg, word: &str) -> bool {
    let long = || arg.get_long_and_visible_aliases().unwrap_or_default();
    match word.strip_prefix("--") {
        Some(name) => long().contains(&name),
        None => word
            .strip_prefix('-')
            .is_some_and(|name| arg.get_short().is_some_and(|letter| name.chars().eq([letter]))),
    }
}

/// The argument whose value clap refuses.
fn bad_argument<'a>(leaf: &'a Command, error: &clap::Error) -> Option<&'a Arg> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let name = text_of(error, ContextKind::InvalidArg)?;
    leaf.get_arguments().find(|arg| arg.to_string() == name)
}

fn problem(arg: &Arg, error: &clap::Error, typed: bool) -> String {
    let value = text_of(error, ContextKind::InvalidValue).unwrap_or_default();
    let is_url = arg.get_value_names().unwrap_or_default().iter().any(|name| name == "URL");
    let shown = if is_url { redacted_url(&value) } else { redacted(&value).into_owned() };
    let variable = arg.get_env().map(OsStr::to_string_lossy);
    let place = match (variable, typed) {
        (Some(name), false) => format!(", from the environment variable {name}"),
        (Some(name), true) => format!(" (environment variable {name})"),
        (None, _) => String::new(),
    };
    let what = if value.is_empty() {
        format!("a value is required for '{arg}'{place}")
    } else {
        format!("invalid value '{shown}' for '{arg}'{place}")
    };
    match reason(error) {
        Some(reason) => format!("{what}: {reason}"),
        None => what,
    }
}

fn reason(error: &clap::Error) -> Option<String> {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => Some(plain(&source.to_string())),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            Some(format!("possible values are {}", values.join(", ")))
        }
        _ => None,
    }
}

/// What the standard library says of numbers, for people.
fn plain(reason: &str) -> String {
    let plain = match reason {
        "invalid digit found in string" => "it must be a whole number from 0",
        "number would be zero for non-zero type" => "it must be 1 or more",
        "number too large to fit in target type" => "it is too large",
        "invalid float literal" | "cannot parse float from empty string" => "it is no number",
        reason => reason,
    };
    plain.to_owned()
}

/// Where the word stands that is no argument of the command.
fn unknown_word(error: &clap::Error, words: &[OsString]) -> Option<usize> {
    let name =
        text_of(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let is_it = |word: &OsString| {
        let text = word.to_string_lossy();
        text == name || text.starts_with(&format!("{name}="))
    };
    words.iter().position(is_it)
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// A command with one option of every kind.
    #[derive(Debug, PartialEq, Parser)]
    #[command(name = "draw", group = clap::ArgGroup::new("where").required(true).args(["bundle", "endpoint"]))]
    struct Args {
        #[arg(long, value_name = "TEXT")]
        prompt: Option<String>,
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u32>,
        #[arg(long, value_delimiter = ',', value_name = "LIST")]
        weights: Vec<f32>,
        #[arg(long, value_parser = ["png", "jpeg"], value_name = "FORMAT")]
        format: Option<String>,
        #[arg(long, value_parser = refused, value_name = "URL")]
        redis: Option<String>,
        #[arg(long, value_name = "DIR")]
        bundle: Option<String>,
        #[arg(long, value_name = "URL")]
        endpoint: Option<String>,
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
    }

    fn refused(_: &str) -> Result<String, String> {
        Err("no Redis".to_owned())
    }

    fn read_args(words: &[&str]) -> Result<Args, String> {
        let words = ["draw", "--bundle", "b"].iter().chain(words).map(OsString::from).collect();
        let matches = read(Args::command(), words).map_err(|refusal| refusal.text())?;
        Ok(<Args as clap::FromArgMatches>::from_arg_matches(&matches).unwrap())
    }

    fn assert_refused(words: &[&str], texts: &[&str]) {
        let refusal = read_args(words).unwrap_err();
        for text in texts {
            assert!(refusal.contains(text), "{words:?}: {refusal}\nshould contain\n{text}");
        }
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }

    #[test]
    fn values_may_begin_with_a_dash() {
        let args = read_args(&["--prompt", "- a heart", "--weights", "-1,2", "-", "--prompt=--count"]);
        assert!(args.unwrap_err().contains("--prompt"), "given twice");
        let args = read_args(&["--prompt", "--a heart", "--weights", "-1,2", "-"]).unwrap();
        assert_eq!((args.prompt.as_deref(), &args.weights[..]), (Some("--a heart"), &[-1.0, 2.0][..]));
        assert_eq!(args.images, ["-"]);
        assert_eq!(read_args(&["--prompt=--count"]).unwrap().prompt.as_deref(), Some("--count"));
        assert_refused(&["-n", "-1"], &["invalid value '-1' for '--count <N>'"]);
    }

    #[test]
    fn a_forgotten_value_is_told() {
        for next in ["--count", "-n", "--format=png", "--help"] {
            let told = format!("and {} is a flag itself", next.split('=').next().unwrap());
            assert!(!read_args(&["--prompt", next]).unwrap_err().contains("unexpected"));
            assert_refused(&["--prompt", next, "5"], &["a value is required for '--prompt <TEXT>'", &told]);
        }
        let text = ["--prompt", "--not a flag", "--", "--prompt", "--count"];
        assert_eq!(read_args(&text).unwrap().images, ["--prompt", "--count"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_without_passwords() {
        let words = [
            "-n",
            "x",
            "--weights",
            "1,y",
            "--format",
            "gif",
            "--redis",
            ":hunter2@host",
            "--color",
            "--endpoint=e",
        ];
        let texts = [
            "error: invalid value 'x' for '--count <N>': it must be a whole number from 0",
            "error: invalid value 'y' for '--weights <LIST>': it is no number",
            "error: invalid value 'gif' for '--format <FORMAT>': possible values are png, jpeg",
            "error: invalid value '***@host' for '--redis <URL>': no Redis",
            "error: unexpected argument '--color' found",
            "Usage: draw",
        ];
        assert_refused(&words, &texts);
        assert_refused(&["--endpoint", "e"], &["cannot be used with"]);
        assert_refused(&["--redi", "redis://:hunter2@host"], &["unexpected argument '--redi'"]);
        assert_refused(&["--format=png", "--redis=x", "--oops", "-n=y"], &["'y'", "'x'", "--oops"]);
    }

    #[test]
    fn help_is_given_whatever_else_is_there() {
        let words = ["draw", "-n", "x", "--help"].map(OsString::from).to_vec();
        let refusal = read(Args::command(), words).unwrap_err();
        assert!(refusal.problems.is_empty() && !refusal.rest.unwrap().use_stderr());
    }
}
