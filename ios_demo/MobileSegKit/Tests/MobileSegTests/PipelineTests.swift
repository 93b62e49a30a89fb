import Foundation
import Testing

@testable import MobileSeg

/// A model of one pixel whose class is the frame.
private final class Stub: Engine {
  var label: UInt8 = 0
  let onDeinit: () -> Void

  init(onDeinit: @escaping () -> Void = {}) {
    self.onDeinit = onDeinit
  }

  deinit {
    onDeinit()
  }

  func prepare(_ frame: Int) throws {
    guard let label = UInt8(exactly: frame) else { throw DemoError("no such frame") }
    self.label = label
  }

  func run<Value>(_ use: (Output) throws -> Value) throws -> Value {
    if label == 9 { throw UnitsError("the GPU went away") }
    return try withUnsafeBytes(of: label) { try use(Output(type: .uint8, bytes: $0)) }
  }
}

struct PipelineTests {
  private func pipeline(_ stub: Stub = Stub()) -> Pipeline<Stub> {
    Pipeline(stub, manifest: manifest(input: (1, 1), output: (1, 1), classes: 3, kind: .labels, dtype: .uint8))
  }

  @Test func everyStageIsTimedApart() throws {
    let pipeline = pipeline()
    let times = try pipeline.run(2)
    #expect(Set(times.keys) == [.pre, .inference, .post])
    #expect(times.values.allSatisfy { $0 >= 0 })
    #expect(Array(pipeline.mask.labels) == [2])
  }

  @Test func whatTheEngineSaysIsPassedOn() {
    #expect(message { _ = try pipeline().run(300) } == "no such frame")
    #expect(message { _ = try pipeline().run(9) } == "The model cannot be run: the GPU went away.")
  }

  @Test func aResourceHasOneOwner() async throws {
    let owner = Exclusive<Pipeline<Stub>>(label: "test")
    await #expect(throws: DemoError("No model is open. Choose one.")) { try await owner.perform { _ in } }
    let gone = Counter()
    await owner.replace(with: pipeline(Stub { gone.add() }))
    #expect(try await owner.perform { try $0.run(1).count } == 3)
    #expect(gone.value == 0)
    await owner.replace(with: pipeline())
    #expect(gone.value == 1, "the first model outlives its place")
    #expect(try await owner.perform { Array($0.mask.labels) } == [0])
  }

  @Test func callersWaitForEachOther() async throws {
    let owner = Exclusive<Counter>(label: "test")
    await owner.replace(with: Counter())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<200 { group.addTask { try await owner.perform { $0.add() } } }
      try await group.waitForAll()
    }
    #expect(try await owner.perform { $0.value } == 200)
  }

  @Test func anythingElseIsDescribedToo() {
    #expect(describe(CocoaError(.fileNoSuchFile)).hasPrefix("Unexpected: "))
    #expect(describe(DemoError("Said.")) == "Said.")
    #expect(describe(UnitsError(of: DemoError("Out of memory."))) == "The model cannot be run: Out of memory.")
  }
}

private final class Counter: @unchecked Sendable {
  private(set) var value = 0

  func add() {
    value += 1
  }
}
