package dev.mobileseg.demo

import android.app.Application
import dev.mobileseg.core.CrashMarker
import dev.mobileseg.core.EngineFactory
import dev.mobileseg.core.Starter
import java.io.File

/** What both activities are made of. Tests put another runtime in its place. */
open class DemoApplication : Application() {
    open val engines: EngineFactory = EngineFactory(::TfliteEngine)

    val starter by lazy { Starter(engines, CrashMarker(File(filesDir, "starting"))) }
}
