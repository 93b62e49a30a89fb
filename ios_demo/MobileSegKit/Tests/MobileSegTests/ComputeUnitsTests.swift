import Foundation
import Testing

@testable import MobileSeg

struct ComputeUnitsTests {
  /// Opens on these units only; says what was tried.
  func open(_ asked: ComputeUnits, working: [ComputeUnits]) async throws -> (Opened<String>, [ComputeUnits]) {
    var tried: [ComputeUnits] = []
    let opened = try await openSteppingDown(from: asked, file: "x.mlpackage") { units in
      tried.append(units)
      if working.contains(units) { return "model" }
      throw UnitsError("no \(units.rawValue) today")
    }
    return (opened, tried)
  }

  @Test func whatWorksIsTakenAsAsked() async throws {
    for asked in ComputeUnits.allCases {
      let (opened, tried) = try await open(asked, working: ComputeUnits.allCases)
      #expect(tried == [asked])
      #expect(opened.units == asked)
      #expect(opened.notice.isEmpty)
    }
  }

  @Test func whatFailsStepsDownWithTheReason() async throws {
    let (opened, tried) = try await open(.all, working: [.cpuOnly])
    #expect(tried == [.all, .cpuAndGPU, .cpuOnly])
    #expect(opened.units == .cpuOnly)
    #expect(opened.notice.hasPrefix("Running on CPU only instead."))
    #expect(opened.notice.contains("On all units it fails: no all today."))
    #expect(try await open(.cpuAndNeuralEngine, working: [.cpuOnly]).1 == [.cpuAndNeuralEngine, .cpuOnly])
  }

  @Test func whatRunsNowhereIsSaid() async {
    await #expect {
      _ = try await open(.cpuAndGPU, working: [])
    } throws: { error in
      let said = describe(error)
      let reason = "On CPU only it fails: no cpuOnly today."
      return said.hasPrefix("x.mlpackage does not run here.") && said.contains(reason)
    }
  }

  @Test func aFaultOfTheFileIsNoFaultOfTheUnits() async {
    var tried = 0
    await #expect(throws: DemoError("not of one model")) {
      try await openSteppingDown(from: .all, file: "x") { _ -> Int in
        tried += 1
        throw DemoError("not of one model")
      }
    }
    #expect(tried == 1)
  }

  @Test func aStartThatTookTheAppDownIsRememberedOnce() throws {
    try withTemporaryFolder { folder in
      let marker = CrashMarker(folder: folder)
      #expect(marker.notice() == nil)
      marker.set("x.mlpackage on all units")
      let notice = try #require(CrashMarker(folder: folder).notice())
      #expect(notice.contains("while starting x.mlpackage on all units"))
      #expect(notice.contains("CPU only"))
      #expect(marker.notice() == nil)
      marker.set("again")
      marker.clear()
      #expect(marker.notice() == nil)
    }
  }
}
