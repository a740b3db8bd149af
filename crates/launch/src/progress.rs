//! A progress bar on standard error; nothing when that is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Shows how far a piece of work is, how fast it goes, and when it will be done.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
    unit: &'static str,
}

const REFRESH_HZ: u8 = 5;
const OF_TOTAL: &str = "{bar:30} {percent:>3}%  {msg}  {remaining}";
const COUNTING: &str = "{spinner}  {msg}";

impl Progress {
    /// A bar for work of `total` steps of any kind; without a total it only counts. `unit` is what is counted.
    pub fn new(total: Option<u64>, unit: &'static str) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(REFRESH_HZ));
        let remaining = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A guess from the first moments is worse than none.
            let _ = match state.len() {
                Some(_) if state.elapsed() > Duration::from_secs(2) && state.eta().as_secs() > 0 => {
                    write!(out, "{:.0?} left", round(state.eta()))
                }
                _ => Ok(()),
            };
        };
        let template = if total.is_some() { OF_TOTAL } else { COUNTING };
        // A test reads both templates.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("remaining", remaining).progress_chars("━━╌"));
        Self { bar, unit }
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        let bar = ProgressBar::hidden();
        Self { bar, unit: "" }
    }

    /// The work is at `position` of the total, and `done` units are finished.
    pub fn set(&self, position: u64, done: u64) {
        self.bar.set_position(position);
        let seconds = self.bar.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        self.bar.set_message(format!("{done} {}, {rate:.0}/s", self.unit));
    }

    /// The work begins at `position` of the total, because the rest was done before.
    pub fn begin_at(&self, position: u64) {
        self.bar.set_position(position);
        self.bar.reset_eta();
    }

    /// The work is at `position` of the total; `message` stands where [`Progress::set`] has what is finished.
    pub fn tell(&self, position: u64, message: String) {
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// Whether nobody sees it: standard error is not a terminal, or nothing is to be shown.
    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn round(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn the_bar_says_how_much_is_done() {
        for template in [OF_TOTAL, COUNTING] {
            ProgressStyle::with_template(template).unwrap();
        }
        let progress = Progress::new(Some(10), "passages");
        progress.set(5, 7);
        assert_eq!(progress.bar.position(), 5);
        assert!(progress.bar.message().starts_with("7 passages, "));
        progress.begin_at(6);
        progress.tell(8, "loss 1".into());
        assert_eq!(
            (progress.bar.position(), progress.bar.message().as_str()),
            (8, "loss 1")
        );
        assert!(Progress::hidden().is_hidden());
    }
}
