package dev.mobileseg.demo

import android.os.Looper
import dev.mobileseg.core.DesktopEngine
import dev.mobileseg.core.EngineFactory
import org.robolectric.Shadows.shadowOf

private const val SECONDS = 60
private const val TICK = 10L

/** The app with a TensorFlow Lite that runs here. It has no GPU. */
class TestApplication : DemoApplication() {
    override val engines = EngineFactory(::DesktopEngine)
}

/** Lets the main thread work until something holds. */
fun waitUntil(
    what: String,
    holds: () -> Boolean,
) {
    val ends = System.nanoTime() + SECONDS * 1_000_000_000L
    while (true) {
        shadowOf(Looper.getMainLooper()).idle()
        if (holds()) return
        check(System.nanoTime() < ends) { "waited $SECONDS s for $what" }
        Thread.sleep(TICK)
    }
}
