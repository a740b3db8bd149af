//! Processes that are killed, and a disk that fills.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

/// Set for a process that trains and is killed, or finds the disk full: the folder it trains in.
const CHILD: &str = "CLOZE_TRAINING_CHILD";

/// Set when it writes no log on its way.
const QUIET: &str = "CLOZE_TRAINING_QUIET";

/// The other process: this program once more, for this one test.
#[test]
fn child() -> Checked {
    let Ok(out) = std::env::var(CHILD) else {
        return Ok(());
    };
    let task = Line {
        sleep: Duration::from_millis(1),
        ..Line::new()?
    };
    let mut plan = plan(Path::new(&out));
    if std::env::var(QUIET).is_ok() {
        plan.saving.log_steps = 60;
    }
    let ended = finish(&task, plan, true);
    assert!(ended.is_ok(), "{}", message(ended));
    Ok(())
}

fn child_command(shell: Option<&str>, out: &Path) -> Result<Command, std::io::Error> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(if shell.is_some() {
        "sh".as_ref()
    } else {
        program.as_os_str()
    });
    if let Some(script) = shell {
        command.arg("-c").arg(script).arg(&program);
    }
    command.args(["--exact", "interruptions::child"]).env(CHILD, out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

#[test]
fn a_run_that_is_killed_again_and_again_has_the_numbers_of_one_that_is_not() -> Checked {
    let folder = tempfile::tempdir()?;
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    finish(&Line::new()?, plan(&whole), false)?;
    let mut random = random::stream(5, "kills", 0);
    let (mut kills, mut trials) = (0, 0);
    loop {
        let mut child = child_command(None, &killed)?.spawn()?;
        // Alive until it has begun, so that each gets somewhere now and then, and then for a random time.
        let deadline = Instant::now() + Duration::from_millis(random.random_range(5..70));
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline && trials < 200 {
                child.kill()?;
                child.wait()?;
                kills += 1;
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        trials += 1;
        if let Some(status) = ended {
            assert!(status.success(), "{:?}", child.wait_with_output()?);
            break;
        }
    }
    assert!(kills > 0);
    assert_eq!(log(&whole)?, log(&killed)?);
    assert_eq!(
        std::fs::read(whole.join("weight.npy"))?,
        std::fs::read(killed.join("weight.npy"))?
    );
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_last_checkpoint_and_says_so() -> Checked {
    let folder = tempfile::tempdir()?;
    let (whole, full) = (folder.path().join("whole"), folder.path().join("full"));
    finish(&Line::new()?, plan(&whole), false)?;
    let cut = AtomicUsize::new(0);
    let stop = || cut.fetch_add(1, Ordering::Relaxed) >= 3;
    Run::new(&Line::new()?, plan(&full), &no_time, false)?
        .interrupted_by(&stop)
        .finish(|_| {})?;
    // From here on no file may grow beyond 512 bytes, and the checkpoint of step 7 does not fit.
    let tight = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let output = child_command(Some(tight), &full)?.env(QUIET, "yes").output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("step-0000000007.safetensors could not be written"),
        "{said}"
    );
    assert!(said.contains("step-0000000003.json is whole"), "{said}");
    let resumed = Line::new()?;
    let outcome = finish(&resumed, plan(&full), true)?;
    assert_eq!(outcome.steps, 60);
    assert_eq!(
        std::fs::read(whole.join("weight.npy"))?,
        std::fs::read(full.join("weight.npy"))?
    );
    Ok(())
}
