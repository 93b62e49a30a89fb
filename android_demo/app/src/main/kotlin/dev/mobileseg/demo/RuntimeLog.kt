package dev.mobileseg.demo

import android.os.Process
import android.util.Log
import java.io.IOException
import java.util.concurrent.atomic.AtomicInteger

private const val TAG = "mobile-seg"
private const val RUNTIME_TAG = "tflite"

/** What TensorFlow Lite wrote to this process's log since this object was made. Apps may read their own log. */
class RuntimeLog {
    private val mark = "log mark ${marks.incrementAndGet()}"

    init {
        Log.i(TAG, mark)
    }

    /** None if the phone does not show them. */
    fun lines(): List<String> {
        val command =
            listOf("logcat", "-d", "-v", "raw", "--pid=${Process.myPid()}", "-s", "$RUNTIME_TAG:V", "$TAG:I")
        val all =
            try {
                ProcessBuilder(command)
                    .start()
                    .inputStream
                    .bufferedReader()
                    .use { it.readLines() }
            } catch (error: IOException) {
                Log.w(TAG, "the log cannot be read", error)
                emptyList()
            }
        val begins = all.lastIndexOf(mark)
        return if (begins < 0) emptyList() else all.drop(begins + 1)
    }

    private companion object {
        val marks = AtomicInteger()
    }
}
