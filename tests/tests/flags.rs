//! Flags and variables of all programs: secrets, blanks, what wins, and what is told of all that is wrong.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use unclip_tests::{Cluster, PROGRAMS, Run, command_in, pipe, run_in, run_with, scratch};

const HERE: &str = ".";

fn run(program: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    run_with(Path::new(HERE), program, variables, arguments)
}

/// Commands that take flags with variables: the servers, and two of `unclip`.
fn commands() -> Vec<(&'static str, Vec<&'static str>)> {
    let servers = PROGRAMS.iter().filter(|name| **name != "unclip").map(|name| (*name, vec![]));
    servers.chain([("unclip", vec!["serve"]), ("unclip", vec!["generate"])]).collect()
}

/// The variables that a command's help names.
fn variables(help: &str) -> BTreeSet<String> {
    // Lines are broken where the terminal ends.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = help.split("[env: ").skip(1);
    named.map(|text| text.split([']', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn no_help_shows_what_a_variable_holds() {
    for (program, command) in commands() {
        let help = run(program, &[], &[&command[..], &["--help"]].concat());
        let names = variables(&help.out);
        assert!(names.contains("UNCLIP_LOG"), "{program}: {names:?}");
        let secrets: Vec<(&str, &str)> =
            names.iter().map(|name| (name.as_str(), "redis://:hunter2@h")).collect();
        let blanks: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        for environment in [secrets, blanks] {
            let with = run(program, &environment, &[&command[..], &["--help"]].concat());
            with.assert_done();
            assert_eq!(variables(&with.out), names, "{program}");
            assert!(!with.out.contains("hunter2"), "{program}: {}", with.out);
        }
    }
}

#[test]
fn blank_variables_are_unset_in_every_program() {
    for (program, command) in commands() {
        let help = run(program, &[], &[&command[..], &["--help"]].concat());
        let names = variables(&help.out);
        for blank in ["", "  "] {
            let environment: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), blank)).collect();
            // The one thing that is wrong is the one thing that is told.
            let told = run(program, &environment, &[&command[..], &["--log", "a=b=c"]].concat());
            assert_eq!(told.code, Some(2), "{program}: {told:?}");
            assert_eq!(told.errors.matches("invalid value").count(), 1, "{program}: {}", told.errors);
            assert!(told.errors.contains("invalid value 'a=b=c' for '--log <FILTER>'"), "{}", told.errors);
        }
    }
    let blank = [("UNCLIP_BUNDLE", " ")];
    run("unclip", &blank, &["generate", "--prompt", "x"]).assert_failed(&["--bundle", "--endpoint"]);
}

#[test]
fn a_flag_goes_before_the_variable_of_another() {
    let environment = [("UNCLIP_BUNDLE", "no/such/bundle"), ("UNCLIP_DEVICE", "cuda:7")];
    let asked = ["generate", "--prompt", "x", "--endpoint", "http://127.0.0.1:1"];
    run("unclip", &environment, &asked).assert_failed(&["http://127.0.0.1:1 can't be reached"]);
    run("unclip", &environment, &asked[..3]).assert_failed(&["no/such/bundle"]);
    let both = [&asked[..], &["--bundle", "b"]].concat();
    run("unclip", &environment, &both).assert_failed(&["cannot be used with"]);
    let local = [&asked[..], &["--threads", "2"]].concat();
    run("unclip", &environment, &local)
        .assert_failed(&["--endpoint <URL>' cannot be used with", "--threads"]);
}

#[test]
fn all_bad_values_are_told_at_once_with_flag_variable_and_reason() {
    let environment = [
        ("UNCLIP_REDIS", "redis://:hunter2@host:x"),
        ("UNCLIP_DRAIN_SECONDS", "soon"),
        ("UNCLIP_PRIOR", "https://me:hunter2@prior.example"),
        ("UNCLIP_PUBLIC_URL", "https://me:hunter2@draw.example"),
    ];
    let flags = [
        "--listen",
        "nowhere",
        "--decoder",
        "grpc://d:1",
        "--metrics-listen",
        ":9090",
        "--cache-mib",
        "-1",
        "--log",
        "a=b=c",
    ];
    let told = run("unclip-gateway", &environment, &flags);
    assert_eq!(told.code, Some(2), "{told:?}");
    told.assert_failed(&[
        "invalid value 'nowhere' for '--listen <HOST:PORT>' (environment variable UNCLIP_LISTEN): no port",
        "invalid value 'grpc://d:1' for '--decoder <URL>' (environment variable UNCLIP_DECODER): calls go over http",
        "invalid value ':9090' for '--metrics-listen <HOST:PORT>'",
        "invalid value '-1' for '--cache-mib <MIB>'",
        "invalid value 'a=b=c' for '--log <FILTER>'",
        "invalid value 'redis://***@host:x' for '--redis <URL>', from the environment variable UNCLIP_REDIS: ",
        "invalid value 'soon' for '--drain-seconds <SECONDS>', from the environment variable UNCLIP_DRAIN_SECONDS",
        "for '--public-url <URL>', from the environment variable UNCLIP_PUBLIC_URL: every client would read",
        "for '--prior <URL>', from the environment variable UNCLIP_PRIOR: calls with TLS are not supported yet",
    ]);
    assert!(!told.errors.contains("hunter2"), "{}", told.errors);
    for (program, device) in [("unclip-decoder", "tpu"), ("unclip-prior", "cuda:x")] {
        run(program, &[], &["--bundle", "b", "--device", device, "--dtype", "f8", "--threads", "0"]).assert_failed(&[
            "for '--device <DEVICE>' (environment variable UNCLIP_DEVICE): supported are auto, cpu and cuda:N",
            "for '--dtype <DTYPE>' (environment variable UNCLIP_DTYPE): possible values are auto, f32, bf16, f16",
            "for '--threads <N>'",
        ]);
    }
}

#[test]
fn names_are_listened_at() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let told = run("unclip-gateway", &[], &["--listen", &format!("localhost:{port}")]);
    told.assert_failed(&[&format!("127.0.0.1:{port} can't be bound")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_in_no_log_and_no_process_title() {
    let (cluster, folder) = (Cluster::shared("tiny").await, scratch());
    // A Redis that knows no such user, and a place where nobody listens.
    let known = cluster.redis.url().replace("redis://", "redis://me:hunter2@");
    for redis in [known.as_str(), "redis://me:hunter2@127.0.0.1:1/0"] {
        let gateway = cluster.another_gateway(&["--redis", redis, "--log", "trace"]).await;
        let encode = ["encode", "--text", "a fox", "-o", "-", "--endpoint", &gateway.url()];
        let (code, _, errors) = pipe(command_in(folder.path(), "unclip", &encode), b"");
        assert_eq!(code, Some(0), "{errors}");
        gateway.logged(&["Redis"]).await;
        assert!(!gateway.has_logged("hunter2"));
        let title = gateway.title();
        assert!(title.contains("--redis=$UNCLIP_REDIS") && !title.contains("hunter2"), "{title}");
    }
}

#[test]
fn texts_may_begin_with_a_dash() {
    let endpoint = ["--endpoint", "http://127.0.0.1:1"];
    let cases: [&[&str]; 6] = [
        &["generate", "--prompt", "- a heart", "--negative-prompt", "--- none", "--seed", "5"],
        &["encode", "--text", "-a heart"],
        &["diff", "text:- a", "--from", "- a", "--to", "--b"],
        &["classify", "text:-", "--label", "- a", "--label", "-b"],
        &["mix", "text:- a", "text:b", "--weights", "-1,2"],
        &["prior", "--prompt", "-1"],
    ];
    for case in cases {
        let told = run_in(Path::new(HERE), "unclip", &[case, &endpoint].concat());
        assert_eq!(told.code, Some(3), "it gets as far as the server: {told:?}");
        told.assert_failed(&["can't be reached"]);
    }
    run_in(Path::new(HERE), "unclip", &["generate", "--prompt", "--seed", "5"]).assert_failed(&[
        "a value is required for '--prompt <TEXT>', and --seed is a flag itself",
        "--prompt=--seed",
    ]);
}
