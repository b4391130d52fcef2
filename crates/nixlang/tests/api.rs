//! Imports, arguments, the library, messages: what a caller of the crate relies on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Mutex;

use floe_nixlang::{ErrorKind, EvalError, Files, FilesError, Limits, MemoryFiles, NixPath, Request, eval_file, eval_with_args, evaluate};
use serde_json::{Map, Value, json};

fn with_files(source: &str, files: &[(&str, &str)]) -> Result<Value, EvalError> {
    let files = MemoryFiles::new(files.iter().copied()).unwrap();
    eval_file("job.nix", source, &files, &Limits::default())
}

fn with_args(source: &str, args: Value) -> Result<Value, EvalError> {
    let Value::Object(args) = args else { panic!("arguments are an object") };
    eval_with_args("job.nix", source, &MemoryFiles::default(), &Limits::default(), &args)
}

#[test]
fn imports_are_relative_to_the_file_that_imports() {
    let files = [
        ("a/one.nix", "{ two = import ../b/two.nix; text = builtins.readFile ./text; }"),
        ("a/text", "hello\n"),
        ("b/two.nix", "import ./. + 1"),
        ("b/default.nix", "40"),
    ];
    let value = with_files("import ./a/one.nix", &files).unwrap();
    assert_eq!(value, json!({ "two": 41, "text": "hello\n" }));
}

#[test]
fn a_file_in_a_folder_sees_its_neighbours_and_may_go_up_to_the_root() {
    let files = MemoryFiles::new([("jobs/x.nix", "1"), ("y.nix", "2")]).unwrap();
    let source = "[ (import ./x.nix) (import ../y.nix) ]";
    assert_eq!(eval_file("jobs/web.nix", source, &files, &Limits::default()).unwrap(), json!([1, 2]));
    let error = eval_file("jobs/web.nix", "import ../../z.nix", &files, &Limits::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::File);
}

#[test]
fn names_outside_of_the_folder_are_refused() {
    for name in ["/etc/job.nix", "../job.nix", "~/job.nix"] {
        let error = eval_file(name, "1", &MemoryFiles::default(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::File, "{error}");
    }
}

#[test]
fn paths_can_be_built() {
    let files = [("conf/a.txt", "A"), ("conf/b.nix", "x: x + 1")];
    let source = r#"let n = "a"; d = ./conf; in [ (builtins.readFile ./conf/${n}.txt) (builtins.readFile (d + "/a.txt")) (import (d + "/b.nix") 1) (builtins.pathExists ./conf) (builtins.pathExists ./no) (builtins.baseNameOf (dirOf ./conf/a.txt)) ]"#;
    assert_eq!(with_files(source, &files).unwrap(), json!(["A", "A", 2, true, false, "conf"]));
    let escape = r#"let n = "../../x"; in builtins.readFile ./conf/${n}"#;
    assert_eq!(with_files(escape, &files).unwrap_err().kind, ErrorKind::File);
}

/// Counts what it is asked.
struct Counting {
    inner: MemoryFiles,
    reads: Mutex<Vec<String>>,
}

impl Files for Counting {
    fn read(&self, path: &NixPath, max_bytes: usize) -> Result<String, FilesError> {
        self.reads.lock().unwrap().push(path.to_string());
        self.inner.read(path, max_bytes)
    }

    fn exists(&self, path: &NixPath) -> bool {
        self.inner.exists(path)
    }
}

#[test]
fn a_file_is_evaluated_once_and_reported() {
    let inner = MemoryFiles::new([("a.nix", "1"), ("b.nix", "import ./a.nix")]).unwrap();
    let files = Counting { inner, reads: Mutex::default() };
    let source = "import ./a.nix + import ./b.nix + import ./sub/../a.nix";
    let limits = Limits::default();
    let request = Request { source_name: "job.nix", source, files: &files, limits: &limits, args: None };
    let evaluation = evaluate(&request).unwrap();
    assert_eq!(evaluation.value, 3);
    assert_eq!(*files.reads.lock().unwrap(), ["a.nix", "b.nix"]);
    let read: Vec<&str> = evaluation.read.iter().map(NixPath::as_str).collect();
    assert_eq!(read, ["a.nix", "b.nix"]);
}

#[test]
fn a_cycle_of_imports_is_one_only_if_it_is_needed() {
    let files = [("a.nix", "{ x = (import ./b.nix).y; z = 1; }"), ("b.nix", "{ y = (import ./a.nix).z; }")];
    assert_eq!(with_files("(import ./a.nix).x", &files).unwrap(), 1);
    let error = with_files("import ./job.nix", &[("job.nix", "1")]).unwrap_err();
    assert!(error.message.contains("import cycle: job.nix -> job.nix"), "{error}");
}

#[test]
fn errors_of_the_files_are_shown() {
    struct Broken;
    impl Files for Broken {
        fn read(&self, path: &NixPath, _: usize) -> Result<String, FilesError> {
            Err(match path.as_str() {
                "binary" => FilesError::NotText,
                "secret" => FilesError::Other("permission denied".into()),
                _ => FilesError::NotFound,
            })
        }
        fn exists(&self, _: &NixPath) -> bool {
            true
        }
    }
    for (path, says) in [
        ("binary", "cannot read 'binary': it is not UTF-8 text"),
        ("secret", "cannot read 'secret': permission denied"),
        ("none", "cannot read 'none': no such file"),
    ] {
        let error = eval_file("job.nix", &format!("import ./{path}"), &Broken, &Limits::default()).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::File, says));
    }
}

#[test]
fn a_function_is_called_with_arguments() {
    let source = "{ name, count ? 1, ... }@all: { inherit name count; given = builtins.attrNames all; }";
    let value = with_args(source, json!({ "name": "web", "extra": [1, { "a": null }] })).unwrap();
    assert_eq!(value, json!({ "name": "web", "count": 1, "given": ["extra", "name"] }));
    assert_eq!(with_args("args: args.a ++ [ 1.5 ]", json!({ "a": [true] })).unwrap(), json!([true, 1.5]));
    assert_eq!(with_args("{ }: 1", json!({})).unwrap(), 1);
    assert_eq!(with_args("1", json!({})).unwrap(), 1);
}

#[test]
fn wrong_arguments_are_named() {
    for (source, args, says) in [
        ("{ name }: name", json!({}), "the file is called without the required argument 'name'"),
        ("{ name }: name", json!({ "name": 1, "nmae": 2 }), "the file is called with the unexpected argument 'nmae'; did you mean 'name'?"),
        ("{ a = 1; }", json!({ "b": 2 }), "the argument 'b' is given, but the file is not a function"),
    ] {
        assert_eq!(with_args(source, args).unwrap_err().message, says);
    }
    let error = with_files("x: x", &[]).unwrap_err();
    assert!(error.message.contains("the file is a function of 'x'"), "{error}");
}

#[test]
fn huge_numbers_in_arguments_are_refused() {
    let error = with_args("{ n }: n", json!({ "n": u64::MAX })).unwrap_err();
    assert!(error.message.contains("does not fit"), "{error}");
}

#[test]
fn the_library_is_given_to_whom_names_it() {
    assert_eq!(with_files("{ lib }: lib.toUpper \"a\"", &[]).unwrap(), "A");
    assert_eq!(with_files("{ lib, ... }@all: builtins.attrNames all", &[]).unwrap(), json!(["lib"]));
    assert_eq!(with_args("{ lib }: lib", json!({ "lib": "mine" })).unwrap(), "mine");
    assert_eq!(with_files("{ ... }@all: all", &[]).unwrap(), json!({}));
    let files = [("part.nix", "{ lib }: lib.optional true 1")];
    assert_eq!(with_files("{ lib }: import ./part.nix { inherit lib; }", &files).unwrap(), json!([1]));
}

#[test]
fn messages_are_handed_over() {
    let source = r#"builtins.trace "one" (builtins.trace 2 (builtins.warn "three" (builtins.trace { } 4)))"#;
    let (files, limits) = (MemoryFiles::default(), Limits::default());
    let request = Request { source_name: "job.nix", source, files: &files, limits: &limits, args: None };
    let evaluation = evaluate(&request).unwrap();
    assert_eq!(evaluation.messages, ["one", "2", "three", "a set"]);
    assert_eq!(evaluation.value, 4);
}

#[test]
fn a_small_stack_is_enough_for_the_caller() {
    let source = "let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 2000";
    let thread = std::thread::Builder::new().stack_size(128 << 10);
    let thread = thread.spawn(move || eval_file("job.nix", source, &MemoryFiles::default(), &Limits::default()));
    assert_eq!(thread.unwrap().join().unwrap().unwrap(), 2_000);
}

#[test]
fn evaluations_share_nothing() {
    let threads: Vec<_> = (0..8)
        .map(|n| {
            std::thread::spawn(move || {
                let args = Map::from_iter([("n".to_owned(), json!(n))]);
                eval_with_args("job.nix", "{ n }: n * 2", &MemoryFiles::default(), &Limits::default(), &args)
            })
        })
        .collect();
    for (n, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap().unwrap(), n * 2);
    }
}

#[test]
fn a_job_file_as_people_write_it() {
    let files = [
        (
            "lib/task.nix",
            "{ lib }: { image, port ? null, env ? { } }: { driver = \"oci\"; config = { inherit image; } // lib.optionalAttrs (port != null) { ports = [ port ]; }; inherit env; }",
        ),
        (
            "web/default.nix",
            "{ task }: { count = 3; tasks.nginx = task { image = \"nginx:1.29\"; port = \"http\"; env.MODE = \"prod\"; }; }",
        ),
    ];
    let source = r#"
      { lib, region ? "eu" }:
      let
        task = import ./lib/task.nix { inherit lib; };
        groups = lib.genAttrs [ "web" ] (name: import (./. + "/${name}") { inherit task; });
      in
      {
        job.shop = {
          inherit region groups;
          type = "service";
          meta.summary = ''
            ${toString (builtins.length (builtins.attrNames groups))} group(s)
              in ${region}
          '';
        };
      }
    "#;
    let job = with_files(source, &files).unwrap();
    assert_eq!(
        job,
        json!({ "job": { "shop": {
            "region": "eu", "type": "service", "meta": { "summary": "1 group(s)\n  in eu\n" },
            "groups": { "web": { "count": 3, "tasks": { "nginx": {
                "driver": "oci", "config": { "image": "nginx:1.29", "ports": ["http"] }, "env": { "MODE": "prod" },
            } } } },
        } } })
    );
}
