import SwiftUI

@main
struct MobileSegApp: App {
  @StateObject private var demo = Demo()

  var body: some Scene {
    WindowGroup {
      ContentView()
        .environmentObject(demo)
        .task { await demo.start() }
    }
  }
}
