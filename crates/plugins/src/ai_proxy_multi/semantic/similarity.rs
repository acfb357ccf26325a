use std::fmt::Write;
use std::ops::Range;

/// A vector of length 1, so that a product of two is the cosine between them.
#[derive(Debug)]
pub(super) struct Vector(Box<[f32]>);

/// An instance that may be chosen.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: Box<str>,
    /// Where its examples stand among all.
    pub(super) examples: Range<usize>,
    /// It has to be so much like the prompt.
    pub(super) threshold: f64,
}

/// Candidates by place and how much they are like a prompt, the most first.
#[derive(Debug, PartialEq)]
pub(super) struct Ranking(Vec<(usize, f64)>);

impl Vector {
    /// The direction of these numbers. Zeros have none, and are like nothing.
    pub(super) fn of(numbers: &[f64]) -> Self {
        let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
        let scale = if length.is_normal() { 1.0 / length } else { 0.0 };
        Self(numbers.iter().map(|number| (number * scale) as f32).collect())
    }

    fn cosine(&self, other: &Self) -> f64 {
        /// So many sums at a time, which a processor adds at once.
        const LANES: usize = 8;
        let (ours, theirs) = (self.0.chunks_exact(LANES), other.0.chunks_exact(LANES));
        let rest: f32 = ours.remainder().iter().zip(theirs.remainder()).map(|(a, b)| a * b).sum();
        let mut sums = [0f32; LANES];
        for (ours, theirs) in ours.zip(theirs) {
            for (sum, (a, b)) in sums.iter_mut().zip(ours.iter().zip(theirs)) {
                *sum += a * b;
            }
        }
        f64::from(sums.iter().sum::<f32>() + rest)
    }
}

/// How much each candidate is like the prompt: as much as the example of its that is most like it. None if the vectors differ in length.
pub(super) fn rank(candidates: &[Candidate], examples: &[Vector], prompt: &Vector) -> Option<Ranking> {
    if examples.iter().any(|example| example.0.len() != prompt.0.len()) {
        return None;
    }
    let score = |candidate: &Candidate| {
        let own = examples.get(candidate.examples.clone()).unwrap_or_default();
        own.iter().map(|example| example.cosine(prompt)).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut ranked: Vec<_> =
        candidates.iter().enumerate().map(|(place, candidate)| (place, score(candidate))).collect();
    // Stable: of equals the one that is configured first.
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    Some(Ranking(ranked))
}

impl Ranking {
    /// The first that is like enough.
    pub(super) fn picked(&self, candidates: &[Candidate]) -> Option<usize> {
        let is_enough = |(place, score): &&(usize, f64)| {
            candidates.get(*place).is_some_and(|candidate| *score >= candidate.threshold)
        };
        self.0.iter().find(is_enough).map(|(place, _)| *place)
    }

    /// All of them, such as `a:0.9135,b:-0.0021`.
    pub(super) fn told(&self, candidates: &[Candidate]) -> String {
        let mut told = String::new();
        for (place, score) in &self.0 {
            let Some(candidate) = candidates.get(*place) else { continue };
            let comma = if told.is_empty() { "" } else { "," };
            // Writing into a text cannot fail.
            let _ = write!(told, "{comma}{}:{score:.4}", candidate.name);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, examples: Range<usize>, threshold: f64) -> Candidate {
        Candidate { name: name.into(), examples, threshold }
    }

    #[test]
    fn a_cosine_is_that_of_the_angle() {
        let long: Vec<f64> = (0..19).map(f64::from).collect();
        let opposite: Vec<f64> = long.iter().map(|number| -2.0 * number).collect();
        let cases = [
            (vec![3.0, 4.0], vec![6.0, 8.0], 1.0),
            (vec![1.0, 0.0], vec![0.0, 5.0], 0.0),
            (vec![1.0, 0.0], vec![1.0, 1.0], 0.5f64.sqrt()),
            (vec![0.0, 0.0], vec![1.0, 1.0], 0.0),
            (vec![1e-30, 0.0], vec![1e30, 0.0], 1.0),
            (long.clone(), long.clone(), 1.0),
            (long, opposite, -1.0),
        ];
        for (a, b, expected) in cases {
            let found = Vector::of(&a).cosine(&Vector::of(&b));
            assert!((found - expected).abs() < 1e-6, "{a:?} {b:?}: {found}");
        }
    }

    #[test]
    fn the_best_example_counts_and_the_first_that_is_like_enough_is_picked() {
        let examples = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]].map(|numbers| Vector::of(&numbers));
        let prompt = Vector::of(&[0.0, 2.0]);
        let candidates = |first: f64, second: f64| {
            [candidate("a", 0..1, 0.0), candidate("b", 1..3, first), candidate("c", 3..4, second)]
        };
        let cases =
            [((0.0, 0.0), Some(1)), ((1.1, 0.0), Some(2)), ((1.1, 0.9), Some(0)), ((1.0, 0.9), Some(1))];
        for ((first, second), expected) in cases {
            let candidates = candidates(first, second);
            let ranking = rank(&candidates, &examples, &prompt).unwrap();
            assert_eq!(ranking.picked(&candidates), expected, "{first} {second}");
            assert_eq!(ranking.told(&candidates), "b:1.0000,c:0.8000,a:0.0000");
        }
        let nobody = [candidate("a", 0..1, 0.5)];
        assert_eq!(rank(&nobody, &examples, &prompt).unwrap().picked(&nobody), None);
        assert_eq!(rank(&nobody, &examples, &Vector::of(&[1.0])), None, "another length");
    }

    #[test]
    fn of_equals_the_one_that_is_configured_first_is_picked() {
        let examples = [[1.0], [1.0]].map(|numbers| Vector::of(&numbers));
        let equals = [candidate("a", 0..1, 0.0), candidate("b", 1..2, 0.0)];
        assert_eq!(rank(&equals, &examples, &Vector::of(&[3.0])).unwrap().picked(&equals), Some(0));
    }
}
