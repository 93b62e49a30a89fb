import Testing

@testable import MobileSeg

struct CameraTests {
  @Test(arguments: CameraAccess.allCases)
  func everyRefusalSaysWhatToDo(_ access: CameraAccess) throws {
    guard access != .granted else {
      try access.demand()
      return
    }
    let said = message { try access.demand() }
    #expect(said.contains("picture"))
    #expect(said.contains("camera") || said.contains("Camera"))
  }

  @Test func onlyTheLatestFrameIsTaken() async throws {
    let frames = LatestFrame<Int>()
    for number in 1...3 { frames.put(number) }
    #expect(try await frames.next() == 3)
    let waiting = Task { try await frames.next() }
    try await Task.sleep(for: .milliseconds(20))
    frames.put(4)
    #expect(try await waiting.value == 4)
  }

  @Test func nobodyWaitsForACameraThatWasClosed() async throws {
    let frames = LatestFrame<Int>()
    let reason = DemoError("The camera was stopped.")
    let waiting = Task { try await frames.next() }
    try await Task.sleep(for: .milliseconds(20))
    frames.close(reason)
    await #expect(throws: reason) { try await waiting.value }
    frames.put(1)
    await #expect(throws: reason) { try await frames.next() }
  }
}
