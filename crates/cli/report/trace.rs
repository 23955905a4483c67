//! `-trace`: the run in the Chrome trace format, which Perfetto and `chrome://tracing` show: a thread for each bake, with its steps, and
//! what they waited for as asynchronous events, since several things may be waited for at once.

use std::time::SystemTime;

use serde_json::{Value as Json, json};

use super::spans::{Bake, Spans, Step, Wait, between};

/// The whole trace, a JSON object.
pub(super) fn render(spans: &Spans, run: &str, now: SystemTime) -> String {
    let name = json!({ "name": format!("bakelite {run}") });
    let mut events = vec![json!({ "ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": name })];
    let mut writing = Writing {
        run: spans.started.unwrap_or(now),
        now,
        waits: 0,
    };
    for (index, bake) in spans.bakes.iter().enumerate() {
        let thread = index + 1;
        let name = json!({ "name": bake.name });
        events.push(json!({ "ph": "M", "pid": 1, "tid": thread, "name": "thread_name", "args": name }));
        let order = json!({ "sort_index": thread });
        events.push(json!({ "ph": "M", "pid": 1, "tid": thread, "name": "thread_sort_index", "args": order }));
        events.extend(writing.bake(bake, thread));
        events.extend(bake.steps.iter().map(|step| writing.step(step, thread)));
        for wait in bake.steps.iter().flat_map(|step| &step.waits) {
            events.extend(writing.wait(wait, thread));
        }
    }
    let trace = json!({ "displayTimeUnit": "ms", "otherData": { "run": run }, "traceEvents": events });
    format!("{trace}\n")
}

struct Writing {
    run: SystemTime,
    now: SystemTime,
    waits: usize,
}

impl Writing {
    /// Microseconds since the run began.
    fn at(&self, moment: SystemTime) -> u128 {
        between(self.run, moment).as_micros()
    }

    fn bake(&self, bake: &Bake, thread: usize) -> Option<Json> {
        let started = bake.started?;
        let arguments = json!({ "state": bake.state.word(), "error": bake.error });
        Some(json!({
            "ph": "X", "cat": "build", "pid": 1, "tid": thread, "name": bake.name, "args": arguments,
            "ts": self.at(started), "dur": bake.length(self.now).as_micros(),
        }))
    }

    fn step(&self, step: &Step, thread: usize) -> Json {
        let waits: Vec<&str> = step.waits.iter().map(|wait| wait.what.as_str()).collect();
        let arguments = json!({ "ok": !step.is_failed, "waited for": waits });
        json!({
            "ph": "X", "cat": "step", "pid": 1, "tid": thread, "name": step.name, "args": arguments,
            "ts": self.at(step.started), "dur": step.length(self.now).as_micros(),
        })
    }

    fn wait(&mut self, wait: &Wait, thread: usize) -> [Json; 2] {
        self.waits += 1;
        [("b", wait.started), ("e", wait.ended.unwrap_or(self.now))].map(|(phase, moment)| {
            json!({
                "ph": phase, "cat": "wait", "id": self.waits, "pid": 1, "tid": thread, "name": wait.what, "ts": self.at(moment),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::spans::tests::{at, under_way};

    #[test]
    fn a_step_lies_within_its_bake_and_each_wait_ends() {
        let trace: Json = serde_json::from_str(&render(&under_way(30), "run-1", at(25_000))).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
        let number = |event: &Json, field: &str| event[field].as_u64().unwrap();
        let bakes: Vec<&Json> = of("X").filter(|event| event["cat"] == "build").collect();
        assert_eq!(bakes.len(), 27, "three wait for their turn");
        for step in of("X").filter(|event| event["cat"] == "step") {
            let bake = bakes.iter().find(|bake| bake["tid"] == step["tid"]).unwrap();
            let end = |event: &Json| number(event, "ts") + number(event, "dur");
            assert!(
                number(bake, "ts") <= number(step, "ts") && end(step) <= end(bake),
                "{step} {bake}"
            );
        }
        for begin in of("b") {
            let end = of("e").find(|end| end["id"] == begin["id"]).unwrap();
            assert!(number(begin, "ts") <= number(end, "ts") && begin["name"] == end["name"]);
        }
        let launch = of("X").find(|event| event["name"] == "launch").unwrap();
        assert_eq!((number(launch, "ts"), number(launch, "dur")), (100_000, 12_500_000));
        assert_eq!(launch["args"]["waited for"][0], "instance i-001 to become running");
    }
}
