import Testing

@testable import MobileSeg

struct TimingTests {
  func frame(_ value: Double) -> StageTimes {
    Dictionary(uniqueKeysWithValues: Stage.allCases.map { ($0, value) })
  }

  @Test func mediansAreOfTheLastFrames() throws {
    var timing = Timing()
    #expect(timing.summary == nil)
    for value in [100] + Array(repeating: 2.0, count: Timing.kept) { timing.add(frame(value)) }
    let summary = try #require(timing.summary)
    #expect(summary.count == Timing.kept)
    #expect(summary.stages == frame(2))
    #expect((summary.total, summary.framesPerSecond) == (10, 100))
  }

  @Test func aMissingTimeIsNotZero() {
    var timing = Timing()
    timing.add([.pre: 1, .inference: 2, .post: 3])
    #expect(timing.summary == nil)
  }

  @Test func mediansOfEvenCountsAndOfNothing() {
    #expect(median([4, 1, 3, 2]) == 2.5)
    #expect(median([]) == nil)
  }

  @Test func aStopwatchCountsFromItsLastLap() {
    var watch = Stopwatch()
    let first = watch.lap()
    #expect(first >= 0 && watch.lap() < first + 1000)
  }
}
