package dev.mobileseg.demo

import android.os.Looper
import dev.mobileseg.core.DesktopEngine
import dev.mobileseg.core.EngineFactory
import org.robolectric.Shadows.shadowOf
import java.util.concurrent.TimeUnit

private const val SECONDS = 60
private const val TICK = 10L
private const val FRAME = 20L

/** The app with a TensorFlow Lite that runs here. It has no GPU. */
class TestApplication : DemoApplication() {
    override val engines = EngineFactory(::DesktopEngine)
}

/** Lets the main thread work as long as a frame on the screen takes: layout, too, waits for one. */
fun frames(count: Int = 1) = repeat(count) { shadowOf(Looper.getMainLooper()).idleFor(FRAME, TimeUnit.MILLISECONDS) }

/** Lets the main thread work until something holds. */
fun waitUntil(
    what: String,
    holds: () -> Boolean,
) {
    val ends = System.nanoTime() + SECONDS * 1_000_000_000L
    while (true) {
        frames()
        if (holds()) return
        check(System.nanoTime() < ends) { "waited $SECONDS s for $what" }
        Thread.sleep(TICK)
    }
}
