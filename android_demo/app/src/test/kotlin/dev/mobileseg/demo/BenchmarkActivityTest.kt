package dev.mobileseg.demo

import android.content.Intent
import android.view.WindowManager
import dev.mobileseg.core.Golden
import dev.mobileseg.core.RESULT_SCHEMA
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import java.io.File

/**
 * The intent of `mobile_seg/profiling/runners/app.py`, word by word: `-Dintent=FILE` is what that file gave to `am`.
 */
@RunWith(RobolectricTestRunner::class)
class BenchmarkActivityTest {
    private val folder = requireNotNull(RuntimeEnvironment.getApplication().getExternalFilesDir(null))
    private val output = File(folder, "job.json")
    private val model = Golden.cases.first { it.name == "street_int8_logits_uint8_0" }.model

    /** What `am start` makes of its arguments. */
    private fun intentOf(words: List<String>): Intent {
        val intent = Intent()
        var at = words.indexOf("-n") + 2
        while (at < words.size) {
            val (kind, name, value) = words.subList(at, at + 3)
            if (kind == "--ei") intent.putExtra(name, value.toInt()) else intent.putExtra(name, value)
            at += 3
        }
        return intent
    }

    private fun asked(): Intent {
        val words = File(requireNotNull(System.getProperty("intent"))).readLines()
        assertEquals("dev.mobileseg.demo/.BenchmarkActivity", words[words.indexOf("-n") + 1])
        return intentOf(words).putExtra("model", model.path).putExtra("output", output.path)
    }

    private fun run(intent: Intent) {
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, intent).setup().get()
        assertTrue(activity.window.attributes.flags and WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON != 0)
        waitUntil("the benchmark") { activity.isFinishing }
    }

    private fun answer(intent: Intent): JSONObject {
        run(intent)
        assertFalse(File("$output.partial").exists())
        return JSONObject(output.readText()).also {
            System.getProperty("results")?.let { to ->
                output.copyTo(File(to, "activity.json"), true)
            }
        }
    }

    @Test
    fun `it measures what it is asked for`() {
        val intent = asked()
        val result = answer(intent)
        assertEquals(result.toString(), RESULT_SCHEMA, result.getString("schema"))
        assertEquals(intent.getIntExtra("runs", 0), result.getJSONArray("samples_ms").length())
        assertTrue(result.getInt("delegated") > 0)
    }

    @Test
    fun `what it cannot measure it says`() {
        val changes =
            mapOf<String, Intent.() -> Unit>(
                "this machine has no GPU" to { putExtra("delegate", "gpu") },
                "There is no delegate tpu" to { putExtra("delegate", "tpu") },
                "has no --ei runs" to { removeExtra("runs") },
                "cannot be read" to { putExtra("model", "/data/local/tmp/missing.tflite") },
            )
        for ((says, change) in changes) {
            output.delete()
            val result = answer(asked().apply(change))
            assertTrue(result.toString(), says in result.getString("error"))
        }
    }

    @Test
    fun `it writes nowhere but into its own folder`() {
        val elsewhere = File(RuntimeEnvironment.getApplication().filesDir, "elsewhere.json")
        for (path in listOf(elsewhere.path, "$folder/../../elsewhere.json", null)) {
            run(asked().putExtra("output", path))
            assertFalse(elsewhere.exists())
            assertFalse(File(folder, "../../elsewhere.json").exists())
        }
    }
}
