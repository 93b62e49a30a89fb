package dev.mobileseg.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.view.View
import android.widget.LinearLayout
import android.widget.Spinner
import android.widget.TextView
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.File

/** The activity as a user sees and uses it. */
class Screen : AutoCloseable {
    private val controller = Robolectric.buildActivity(MainActivity::class.java).setup()
    val activity: MainActivity = controller.get()
    val models: Spinner = activity.find(R.id.models)
    val delegates: Spinner = activity.find(R.id.delegates)
    val labels get() = List(models.count) { models.getItemAtPosition(it).toString() }
    val legend get() = activity.find<LinearLayout>(R.id.legend).let {
        List(it.childCount) { row -> textsOf(it.getChildAt(row)) }
    }

    init {
        settle()
    }

    /** What a view shows; empty if it is hidden. */
    fun text(id: Int): String {
        val view = activity.find<TextView>(id)
        return if (view.visibility == View.VISIBLE) view.text.toString() else ""
    }

    fun settle() = waitUntil("the model") { "opening" !in text(R.id.status) && "measuring" !in text(R.id.status) }

    fun choose(
        spinner: Spinner,
        position: Int,
    ) {
        spinner.setSelection(position)
        frames(5)
        settle()
    }

    fun click(id: Int) {
        activity.find<View>(id).performClick()
    }

    fun openPicture(file: File) {
        val uri = Uri.parse("content://pictures/${file.name}")
        val resolver = RuntimeEnvironment.getApplication().contentResolver
        shadowOf(resolver).registerInputStreamSupplier(uri) { file.inputStream() }
        click(R.id.picture)
        val asked = shadowOf(activity).nextStartedActivityForResult.intent
        check(asked.type == "image/*")
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, Intent().setData(uri))
    }

    fun shares() = legend.map { it.last() }.filter { it != "–" }.map { it.removeSuffix("%").toFloat() }

    override fun close() {
        controller.pause().stop().destroy()
    }
}

private fun textsOf(row: View) = (row as LinearLayout).let {
    List(it.childCount) { at -> (it.getChildAt(at) as TextView).text.toString() }
}
