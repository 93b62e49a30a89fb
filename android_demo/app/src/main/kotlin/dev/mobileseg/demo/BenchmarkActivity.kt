package dev.mobileseg.demo

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.util.Log
import android.view.Gravity
import android.view.WindowManager
import android.widget.TextView
import dev.mobileseg.core.Benchmark
import dev.mobileseg.core.BenchmarkRequest
import dev.mobileseg.core.Delegate
import dev.mobileseg.core.DemoError
import dev.mobileseg.core.EngineOptions
import dev.mobileseg.core.describe
import dev.mobileseg.core.failure
import dev.mobileseg.core.writeWhole
import org.json.JSONObject
import java.io.File
import java.io.IOException
import kotlin.concurrent.thread

private const val TAG = "mobile-seg"
private const val MISSING = -1

/**
 * Answers the intent of `mobile_seg/profiling/runners/app.py`: measures once, on a thread of its own with the screen
 * on, writes the result and finishes.
 */
class BenchmarkActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        setContentView(
            TextView(this).apply {
                gravity = Gravity.CENTER
                setText(R.string.benchmarking)
            },
        )
        thread(name = "benchmark") {
            work()
            runOnUiThread(::finish)
        }
    }

    private fun work() {
        val output =
            try {
                outputOf(intent)
            } catch (error: DemoError) {
                Log.e(TAG, error.message, error)
                return
            }
        val result = answer()
        try {
            writeWhole(result, output)
        } catch (error: IOException) {
            Log.e(TAG, "the result cannot be written: $result", error)
        }
    }

    private fun answer(): JSONObject =
        try {
            Benchmark((application as DemoApplication).engines).answer(requestOf(intent))
        } catch (error: DemoError) {
            failure(describe(error))
        }

    /** Anyone may send the intent: it writes nowhere but into the app's own folder on shared storage. */
    private fun outputOf(intent: Intent): File {
        val folder = getExternalFilesDir(null) ?: throw DemoError("The phone's shared storage is not there.")
        val path = File(intent.text("output")).canonicalFile
        if (!path.startsWith(folder.canonicalFile)) throw DemoError("The output must lie below $folder, not $path.")
        return path
    }
}

private fun requestOf(intent: Intent) =
    BenchmarkRequest(
        model = File(intent.text("model")),
        options = EngineOptions(Delegate.of(intent.text("delegate")), intent.number("threads")),
        warmup = intent.number("warmup"),
        runs = intent.number("runs"),
    )

private fun Intent.text(name: String): String =
    getStringExtra(name) ?: throw DemoError("The intent has no --es $name.")

private fun Intent.number(name: String): Int =
    getIntExtra(name, MISSING).takeIf { it != MISSING } ?: throw DemoError("The intent has no --ei $name.")
