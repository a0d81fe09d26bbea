use super::*;

#[test]
fn what_is_not_built_is_no_example() {
    let error = Example::find("no_such_example").unwrap_err();
    let ExampleError::NotBuilt { path } = &error else { panic!("{error}") };
    let file = format!("no_such_example{}", std::env::consts::EXE_SUFFIX);
    assert!(path.ends_with(Path::new("examples").join(file)), "{error}");
}

#[cfg(unix)]
mod scripts {
    use super::*;
    use crate::tools::fakes::script;

    /// A script, which stands for an example.
    fn example(folder: &tempfile::TempDir, body: &str) -> Example {
        Example::at(script(folder.path(), "example", body), "example").unwrap()
    }

    fn shown<T: std::fmt::Debug>(ended: Result<T, ExampleError>) -> String {
        match ended {
            Ok(said) => format!("ok {said:?}"),
            Err(ExampleError::Ended { status, output, errors, .. }) => {
                format!("ended {:?} {output:?} {errors:?}", status.code())
            }
            Err(ExampleError::TimedOut { output, errors, .. }) => {
                format!("timed out {output:?} {errors:?}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_run_is_good_only_if_its_end_is() {
        let check = |body: &str, limit: Duration, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            let example = example(&folder, body).argument("one").env("TWO", "two");
            assert_eq!(shown(example.limit(limit).run()), expected, "{body}");
        };
        check("echo $1 $TWO; echo why >&2", LIMIT, r#"ok "one two\n""#);
        check("echo out; echo why >&2; exit 3", LIMIT, r#"ended Some(3) "out\n" "why\n""#);
        check("kill -KILL $$", LIMIT, r#"ended None "" """#);
        check("read -r line; echo \"got $line\"", LIMIT, r#"ok "got \n""#);
        check("exec sleep 600", Duration::ZERO, r#"timed out "" """#);
    }

    #[test]
    fn more_than_a_pipe_takes_does_not_stop_it() {
        let folder = tempfile::tempdir().unwrap();
        let example = example(&folder, "yes | head -c 1000000; yes | head -c 1000000 >&2");
        assert_eq!(example.run().unwrap().len(), 1_000_000);
    }

    #[test]
    fn lines_come_one_by_one_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let go_on = folder.path().join("go_on");
        let body = "printf 'one\\ntw'; until [ -e \"$1\" ]; do :; done; printf 'o\\nthree'";
        let mut running = example(&folder, body).argument(&go_on).start().unwrap();
        assert_eq!(shown(running.line()), r#"ok "one""#);
        std::fs::write(go_on, "").unwrap();
        assert_eq!(shown(running.line()), r#"ok "two""#);
        // No line until its end comes.
        assert_eq!(shown(running.line()), r#"ended Some(0) "one\ntwo\nthree" """#);
        assert_eq!(shown(running.wait()), r#"ok "one\ntwo\nthree""#);
    }

    #[test]
    fn a_line_has_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = example(&folder, "exec sleep 600").limit(Duration::ZERO).start().unwrap();
        assert_eq!(shown(running.line()), r#"timed out "" """#);
        assert!(running.child.try_wait().unwrap().is_some(), "it was killed");
    }

    #[test]
    fn who_drops_it_kills_it() {
        let folder = tempfile::tempdir().unwrap();
        let running = example(&folder, "exec sleep 600").start().unwrap();
        let id = running.child.id().to_string();
        let lives = || {
            let mut kill = Command::new("kill");
            kill.args(["-0", &id]).stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(lives());
        drop(running);
        assert!(!lives());
    }
}
