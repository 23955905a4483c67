//! How much work evaluation may make. A few lines can ask for billions of values or terabytes of text; whoever evaluates sets a
//! limit that no template meets which is meant to be baked, and that keeps time below a second and memory below 500 MB.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::diagnostic::Diagnostic;
use crate::source::Place;
use crate::value::{Kind, Value};

/// What everything that is evaluated together may cost.
const WHOLE: u64 = 256 << 20;
/// What evaluating one expression costs, and one value that is looked at: about the bytes that a value takes, and about the time
/// that making 64 bytes of text takes.
pub(crate) const ONE: u64 = 64;
/// What writing a number costs for each of its digits; it takes time that grows with their square, and there are 20,000 at most.
const DIGIT: u64 = 96;
/// A number with fewer digits is written for nothing.
const MANY_DIGITS: u64 = 64;
/// Single values in the result of an expression, at most; members that are shared are counted every time.
const MOST_VALUES: u64 = 1_000_000;
/// Bytes of text in the result of an expression, at most.
const MOST_TEXT: u64 = 64 << 20;
/// Collections within each other in the result of an expression, at most.
const DEEPEST: usize = 200;

/// What is left to spend. Shared by the evaluations that belong together.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    /// Where it ran out.
    ended: OnceLock<Place>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(WHOLE)
    }
}

impl Budget {
    /// Another limit than the usual one, in about bytes that evaluation makes.
    pub fn of(work: u64) -> Self {
        Self {
            left: AtomicU64::new(work),
            ended: OnceLock::new(),
        }
    }

    /// Takes the cost of something, which must not be done when this is false.
    pub(crate) fn spend(&self, cost: u64, place: Place) -> bool {
        let enough = |left: u64| left.checked_sub(cost);
        let paid = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough)
            .is_ok();
        if !paid {
            self.left.store(0, Ordering::Relaxed);
            self.ended.get_or_init(|| place);
        }
        paid
    }

    /// True when there was not enough: whatever is evaluated from now on ends in the same error.
    pub fn is_spent(&self) -> bool {
        self.ended.get().is_some()
    }

    /// The error, when there was not enough.
    pub(crate) fn complaint(&self) -> Option<Diagnostic> {
        let place = *self.ended.get()?;
        Some(Diagnostic::error(place, "this takes too much work to evaluate").detail(
            "Together with what was evaluated before it, it would make millions of values or hundreds of megabytes.",
        ))
    }

    /// What a value costs to look at, its text that many times; for what costs more than is left the answer is as good.
    pub(crate) fn cost(&self, value: &Value, text_times: u64) -> u64 {
        let size = Size::of(value, self.left.load(Ordering::Relaxed) / ONE);
        let text = size.text.saturating_mul(text_times);
        size.values
            .saturating_mul(ONE)
            .saturating_add(text)
            .saturating_add(size.digits.saturating_mul(DIGIT))
    }
}

/// Pays for the result of an expression to be looked at, and says what is too much about it, if anything is. Values that refer to
/// others several times double at each step, and ones that wrap others nest at each step: they are cheap to make, and then no memory
/// holds and no stack walks them.
pub(crate) fn excess(value: &Value, budget: &Budget, place: Place) -> Option<String> {
    let size = Size::of(value, MOST_VALUES);
    // Text that is shared costs next to nothing here, but sooner or later it is copied.
    budget.spend(size.values.saturating_mul(ONE).saturating_add(size.text / 2), place);
    if size.values > MOST_VALUES {
        return Some(format!("It holds more than {MOST_VALUES} values."));
    }
    if size.depth > DEEPEST {
        return Some(format!("It nests more than {DEEPEST} levels deep."));
    }
    (size.text > MOST_TEXT).then(|| format!("It holds more than {MOST_TEXT} bytes of text."))
}

/// How large a value is; members that are shared are counted every time.
#[derive(Debug, Default, Clone, Copy)]
struct Size {
    values: u64,
    /// Bytes, digits of numbers included.
    text: u64,
    /// Digits of long numbers.
    digits: u64,
    depth: usize,
}

impl Size {
    /// Stops after that many values.
    fn of(value: &Value, most: u64) -> Size {
        let mut size = Size::default();
        let mut open = vec![(value, 0)];
        while let Some((value, depth)) = open.pop() {
            size.values += 1;
            size.depth = size.depth.max(depth);
            if size.values + open.len() as u64 > most {
                size.values += open.len() as u64;
                return size;
            }
            match &value.kind {
                Kind::List(_, elements) | Kind::Set(_, elements) | Kind::Tuple(elements) => {
                    open.extend(elements.iter().map(|element| (element, depth + 1)));
                }
                Kind::Map(_, members) | Kind::Object(members) => {
                    size.text += members.keys().map(|name| name.len() as u64).sum::<u64>();
                    open.extend(members.values().map(|member| (member, depth + 1)));
                }
                Kind::String(text) => size.text += text.len() as u64,
                Kind::Number(number) => {
                    let digits = number.digits_at_most();
                    size.text += digits;
                    size.digits += if digits > MANY_DIGITS { digits } else { 0 };
                }
                Kind::Null(_) | Kind::Unknown(_) | Kind::Bool(_) => {}
            }
        }
        size
    }
}
