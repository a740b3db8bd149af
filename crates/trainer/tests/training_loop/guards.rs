//! Scores before, during and after a run, checkpoints, and what stops it.

use trainer::{Ended, News};

use super::*;

#[test]
fn the_model_is_scored_before_the_first_step_and_after_the_last() -> Checked {
    let folder = tempfile::tempdir()?;
    let mut plan = plan(folder.path());
    plan.saving.evaluate_steps = 25;
    let task = Line::new()?;
    let mut told = Vec::new();
    let outcome = Run::new(&task, plan, &no_time, false)?.finish(|news| match news {
        News::Scores(evaluation) => told.push(evaluation.clone()),
        News::Steps(_) => {}
    })?;
    assert_eq!(told, outcome.evaluations);
    let steps: Vec<u64> = told.iter().map(|evaluation| evaluation.step).collect();
    assert_eq!(steps, [0, 25, 50, 60]);
    assert!(told[3].scores[0].1 > told[0].scores[0].1 + 0.2, "{told:?}");
    assert_eq!((outcome.ended, outcome.saved), (Ended::Finished, 60));
    let scored = log(folder.path())?
        .into_iter()
        .filter(|line| line["scores"]["near"].is_f64());
    assert_eq!(scored.count(), 4);
    for file in [
        "curve.svg",
        "scores.svg",
        "tensorboard/events.out.tfevents.0000000000.0000000000",
    ] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    // The third unit never gets a gradient, the variable as a whole does.
    assert_eq!((outcome.units[0].dead, outcome.units[0].all), (1, 3));
    assert_eq!(task.frozen.to_vec2::<f32>()?, [[1.0; 3]; 2]);
    Ok(())
}

#[test]
fn patience_ends_a_run_and_the_best_model_is_saved() -> Checked {
    let folder = tempfile::tempdir()?;
    let scripted = || -> Result<Line, candle_core::Error> {
        Ok(Line {
            scores: vec![0.1, 0.4, 0.3, 0.4, 0.9],
            ..Line::new()?
        })
    };
    let mut plan = plan(&folder.path().join("early"));
    plan.saving = Saving {
        evaluate_steps: 10,
        patience: 2,
        keep_best: true,
        ..plan.saving
    };
    let task = scripted()?;
    let outcome = finish(&task, plan.clone(), false)?;
    assert_eq!(
        (outcome.ended, outcome.steps, outcome.saved),
        (Ended::Early, 30, 10)
    );
    // What ten steps leave.
    let mut short = plan.clone();
    short.out = folder.path().join("short");
    short.schedule.steps = 60;
    let ten = Line::new()?;
    let stop_at_ten = AtomicUsize::new(0);
    let stop = || stop_at_ten.fetch_add(1, Ordering::Relaxed) >= 10;
    let cut = Run::new(&ten, short, &no_time, false)?
        .interrupted_by(&stop)
        .finish(|_| {})?;
    assert_eq!((cut.ended, cut.steps), (Ended::Interrupted, 10));
    assert_eq!(task.bits()?, ten.bits()?);
    // With more patience it goes on from where it ended, and the best of before still counts.
    plan.saving.patience = 3;
    let more = Line {
        scores: vec![0.9, 0.1],
        ..Line::new()?
    };
    let outcome = finish(&more, plan.clone(), true)?;
    assert_eq!(
        (outcome.ended, outcome.steps, outcome.saved),
        (Ended::Finished, 60, 40)
    );
    let kept: Vec<_> = std::fs::read_dir(plan.out.join("checkpoints"))?.collect::<Result<_, _>>()?;
    assert_eq!(kept.len(), 6, "{kept:?}");
    Ok(())
}

#[test]
fn settings_that_only_scores_could_follow_are_refused_without_them() -> Checked {
    let folder = tempfile::tempdir()?;
    let mut plan = plan(folder.path());
    plan.saving.patience = 1;
    let said = message(finish(&Line::new()?, plan, false));
    assert!(said.contains("saving.patience is 1"), "{said}");
    Ok(())
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() -> Checked {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let whole = Line::new()?;
    let outcome = finish(&whole, plan(&out), false)?;
    let expected = log(&out)?;
    let checkpoint = |name: &str| out.join("checkpoints").join(name);
    type Damage = fn(&Path) -> std::io::Result<()>;
    let cut: Damage = |path| std::fs::write(path, &std::fs::read(path)?[..40]);
    let flip: Damage = |path| {
        let mut bytes = std::fs::read(path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes)
    };
    let remove: Damage = |path| std::fs::remove_file(path);
    for (name, damage) in [
        ("step-0000000060.safetensors", cut),
        ("step-0000000060.safetensors", flip),
        ("step-0000000060.safetensors", remove),
        ("step-0000000060.json", flip),
    ] {
        damage(&checkpoint(name))?;
        let task = Line::new()?;
        let run = Run::new(&task, plan(&out), &no_time, true)?;
        assert_eq!((run.step(), run.notes().len()), (56, 1));
        assert!(run.notes()[0].contains("step-0000000060"), "{:?}", run.notes());
        // It comes to the same end, and says each step once.
        let again = run.finish(|_| {})?;
        assert_eq!((again.loss, task.bits()?), (outcome.loss, whole.bits()?));
        assert_eq!(log(&out)?, expected);
    }
    for step in [56, 60] {
        cut(&checkpoint(&format!("step-00000000{step}.safetensors")))?;
    }
    let said = message(Run::new(&Line::new()?, plan(&out), &no_time, true).map(|_| ()));
    assert!(
        said.contains("step-0000000060") && said.contains("checksum"),
        "{said}"
    );
    Ok(())
}

#[test]
fn another_recipe_is_refused_by_the_setting_but_saving_may_differ() -> Checked {
    let folder = tempfile::tempdir()?;
    finish(&Line::new()?, plan(folder.path()), false)?;
    let mut other = plan(folder.path());
    other.recipe = r#"{"seed":2}"#.into();
    let said = message(finish(&Line::new()?, other, true));
    assert!(said.contains("another recipe: seed was 1 and is 2"), "{said}");
    let mut saving = plan(folder.path());
    saving.saving.log_steps = 3;
    assert_eq!(finish(&Line::new()?, saving, true)?.steps, 60);
    Ok(())
}

#[test]
fn a_loss_that_leaves_its_course_stops_the_run_and_leaves_the_batches() -> Checked {
    let folder = tempfile::tempdir()?;
    let task = Line {
        broken_from: 100,
        ..Line::new()?
    };
    let mut plan = plan(folder.path());
    plan.schedule.steps = 200;
    let said = message(finish(&task, plan.clone(), false));
    assert!(
        said.starts_with("step 102: the loss is") && said.contains("batch 102"),
        "{said}"
    );
    let dump = std::fs::read(folder.path().join("stopped-step-0000000102.json"))?;
    let dump: serde_json::Value = serde_json::from_slice(&dump)?;
    let numbers: Vec<u64> = dump
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|batch| batch["number"].as_u64())
        .collect();
    assert_eq!(numbers, [100, 101, 102]);
    assert_eq!(dump[0]["batch"][0].as_array().map(Vec::len), Some(8));
    // On request it goes on regardless.
    plan.saving.spike_factor = 0.0;
    assert_eq!(finish(&task, plan, true)?.steps, 200);
    Ok(())
}

#[test]
fn a_budget_of_time_counts_from_the_end_of_the_first_step() -> Checked {
    let folder = tempfile::tempdir()?;
    let (free, timed) = (folder.path().join("free"), folder.path().join("timed"));
    finish(&Line::new()?, plan(&free), false)?;
    // An evaluation takes ten minutes, and nothing else takes time.
    let task = Line::new()?;
    let clock = || Duration::from_secs(600 * task.evaluated.load(Ordering::Relaxed) as u64);
    let mut budget = plan(&timed);
    budget.schedule.minutes = Some(1.0);
    let outcome = Run::new(&task, budget, &clock, false)?.finish(|_| {})?;
    assert_eq!((outcome.ended, outcome.steps), (Ended::Finished, 60));
    let rates = |out: &Path| -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
        Ok(log(out)?
            .iter()
            .map(|line| line["learning_rate"].clone())
            .collect())
    };
    assert_eq!(rates(&timed)?, rates(&free)?);

    // Here each look at the clock takes a second.
    let (task, looks) = (Line::new()?, AtomicUsize::new(0));
    let clock = || Duration::from_secs(looks.fetch_add(1, Ordering::Relaxed) as u64);
    let mut budget = plan(&folder.path().join("slow"));
    budget.schedule.minutes = Some(1.0);
    let outcome = Run::new(&task, budget, &clock, false)?.finish(|_| {})?;
    assert!((2..60).contains(&outcome.steps), "{outcome:?}");
    Ok(())
}

#[test]
fn a_run_that_ends_where_blind_guesses_are_says_that_it_learned_nothing() -> Checked {
    let folder = tempfile::tempdir()?;
    let learned = |blind, rate, name: &str| -> Result<Option<f32>, Box<dyn Error>> {
        let mut plan = plan(&folder.path().join(name));
        plan.optimizer.learning_rate = rate;
        let task = Line {
            blind,
            ..Line::new()?
        };
        Ok(finish(&task, plan, false)?.learned_nothing)
    };
    assert_eq!(learned(Some(0.5), 0.05, "learns")?, None);
    let stuck = learned(Some(0.5), 1e-9, "stuck")?;
    assert!(stuck.is_some_and(|loss| loss > 0.495), "{stuck:?}");
    assert_eq!(learned(None, 1e-9, "no measure")?, None);
    Ok(())
}
